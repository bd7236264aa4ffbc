//go:build !linux

package postrender

// newBuffer returns an empty buffer of that capacity.
func newBuffer(capacity int) []byte { return make([]byte, 0, capacity) }
