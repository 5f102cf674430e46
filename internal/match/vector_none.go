//go:build !(goexperiment.simd && amd64)

package match

// vector is the SIMD path, which this build does not have.
type vector struct{ on bool }

func newVector(map[uint32][]entry) vector { return vector{} }

func (*filter) eachVector([]byte, func(at int)) int { return 0 }

func (vector) size() int { return 0 }
