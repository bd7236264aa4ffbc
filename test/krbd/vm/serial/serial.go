// Package serial is the protocol between a virtual machine of the tests and its host on a
// serial line: JSON objects, one request and one answer for each script, in any order. Until
// the first request the guest sends newlines, which say that the machine runs.
package serial

import "time"

// Request asks the guest to run a script, or about a writer.
type Request struct {
	ID int
	// Now is the host's time, for the guest's clock. A zero Now changes nothing.
	Now time.Time
	// Entropy is for the guest's random numbers, of which a copy of another machine has
	// the same. None changes nothing.
	Entropy []byte
	// Script is for /bin/sh.
	Script string
	// Limit is when the guest kills the script.
	Limit time.Duration
	// Writer is set in place of a script.
	Writer *WriterRequest
}

// WriterRequest asks how it goes for the one who writes stamps into a device.
type WriterRequest struct {
	Device string
	// Start starts it before, in the name of Node.
	Start bool
	Node  string
	// Stop stops it before. It has closed the device then.
	Stop bool
}

// Answer is the end of a script, or about a writer.
type Answer struct {
	// ID is that of the request.
	ID int
	// Output has stdout and stderr.
	Output string
	// Error is empty when the script exited with 0 in time.
	Error string
	// Writing is that of the writer that was asked about.
	Writing *Writing
}

// Writing is how it goes for a writer.
type Writing struct {
	// Written and Failed count stamps so far.
	Written, Failed int
	// Error is that of the last one, empty if it was written.
	Error string
}
