//go:build !linux

package postrender

// adviseHugePages does nothing: only Linux can be asked.
func adviseHugePages([]byte) {}
