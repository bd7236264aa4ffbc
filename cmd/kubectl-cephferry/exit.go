package main

import (
	"errors"

	"github.com/cephferry/cephferry/pkg/adopt"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/move"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/restore"
)

// The exit codes besides 0. docs/kubectl-cephferry.md has the table.
const (
	// exitFailed: it could not be done, or not to its end.
	exitFailed = 1
	// exitRefused: it must not be done now. Nothing was changed.
	exitRefused = 2
	// exitUnknown: something could not be found out.
	exitUnknown = 3
)

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// refuse makes an error a refusal.
func refuse(err error) error { return coded{err, exitRefused} }

// unknown makes an error one of what could not be found out.
func unknown(err error) error { return coded{err, exitUnknown} }

// errShown is for a command that has said everything already.
var errShown = errors.New("shown")

// exitCode is that of an error.
func exitCode(err error) int {
	var (
		own      coded
		failover *failover.Refusal
		idle     *idle.Refusal
		record   *ownership.Refused
		moving   *move.Refusal
		restored *restore.Refusal
		adopted  *adopt.Refusal
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &failover), errors.As(err, &idle), errors.As(err, &record), errors.As(err, &moving), errors.As(err, &restored), errors.As(err, &adopted):
		return exitRefused
	}
	return exitFailed
}
