//go:build lab

package scene

import (
	"errors"
	"testing"
	"time"
)

const (
	// settleLimit is for what takes seconds on a machine that has nothing else to
	// do. The watch of a dead node stays for 30 s.
	settleLimit  = time.Minute
	pollInterval = 50 * time.Millisecond
)

// Eventually polls until check is content.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(settleLimit); ; time.Sleep(pollInterval) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("wait for %s: %v", what, err)
		}
	}
}

// Until polls until the condition holds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Eventually(t, what, func() error {
		if !holds() {
			return errors.New("it is not so")
		}
		return nil
	})
}
