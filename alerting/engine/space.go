package engine

import "syscall"

// space is the room on the file system of a directory. Samples are bulk: they
// stop early, so that what is left serves the queue and the record.
type space struct {
	dir string
	low func() bool // the store is short of room
}

// most is what is kept free of samples on a large disk; small disks keep an
// eighth.
const most = 64 << 20

// measure returns the free bytes and how many are to stay free. ok is false if
// they cannot be known.
func (s *space) measure() (free, reserve int64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil || st.Blocks == 0 {
		return 0, 0, false
	}
	free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	return free, min(most, total/8), true
}

// tight reports that samples have to stop.
func (s *space) tight() bool {
	free, reserve, ok := s.measure()
	return s.low() || ok && free < reserve
}

// enough reports that samples may be written again: with some distance, so that
// a disk at the limit does not make us open and close all the time.
func (s *space) enough() bool {
	free, reserve, ok := s.measure()
	return !s.low() && (!ok || free > reserve+reserve/2)
}
