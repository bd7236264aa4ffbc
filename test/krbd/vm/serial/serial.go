// Package serial is the protocol between a virtual machine of the tests and its host on a
// serial line: JSON objects, one request and one answer for each script, in any order. Until
// the first request the guest sends newlines, which say that the machine runs.
package serial

import "time"

// Request asks the guest to run a script.
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
}

// Answer is the end of a script.
type Answer struct {
	// ID is that of the request.
	ID int
	// Output has stdout and stderr.
	Output string
	// Error is empty when the script exited with 0 in time.
	Error string
}

// Writing is how it goes for the guest's writer.
type Writing struct {
	// Written and Failed count stamps so far.
	Written, Failed int
	// Error is that of the last one, empty if it was written.
	Error string
}
