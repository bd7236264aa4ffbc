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
	settleLimit = time.Minute
	// Who has waited for long may wait a tenth longer: many tests poll at a time, and what
	// they look at has to run on the same processors.
	shortestPause, longestPause = 50 * time.Millisecond, 500 * time.Millisecond
)

// Eventually polls until check is content.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(min(max(time.Since(begin)/10, shortestPause), longestPause)) {
		err := check()
		if err == nil {
			return
		}
		if time.Since(begin) > settleLimit {
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

// Lazily is an error whose text is made when somebody reads it. Of a poll's errors that is
// only the last one, and what explains it often costs more requests than the poll.
type Lazily func() string

func (l Lazily) Error() string { return l() }
