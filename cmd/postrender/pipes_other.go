//go:build !linux

package main

import "os"

// widen does nothing: pipes grow on Linux only.
func widen(...*os.File) {}
