package local

import (
	"encoding/binary"
	"io"
	"syscall"
)

// What we and the helper say to each other over two pipes. A question is an id,
// a length and a path; an answer has a fixed size. Each is written at once and
// is shorter than PIPE_BUF, so that answers never mix.
const (
	questionHead = 4 + 2
	answerSize   = 4 + 4 + 6*8
	helloID      = 0 // the id of the frame with which the helper says that it is there
)

func appendQuestion(b []byte, id uint32, path string) []byte {
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	return append(b, path...)
}

func readQuestion(r io.Reader) (id uint32, path string, err error) {
	var head [questionHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	text := make([]byte, binary.LittleEndian.Uint16(head[4:]))
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, "", err
	}
	return binary.LittleEndian.Uint32(head[:]), string(text), nil
}

func answerFrame(id uint32, a answer) []byte {
	b := make([]byte, 0, answerSize)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(a.errno))
	for _, v := range []uint64{a.unit, a.blocks, a.free, a.avail, a.files, a.filesFree} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func readAnswer(r io.Reader) (id uint32, a answer, err error) {
	var b [answerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, answer{}, err
	}
	a.errno = syscall.Errno(binary.LittleEndian.Uint32(b[4:]))
	for i, field := range []*uint64{&a.unit, &a.blocks, &a.free, &a.avail, &a.files, &a.filesFree} {
		*field = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	return binary.LittleEndian.Uint32(b[:]), a, nil
}
