//go:build lab

package keys

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
)

// The etcd of east is put back to before a move, with the pods that were bound then: no
// admission is asked, and no fence has hit them. West's webhook is dead too, and one of west's
// machines is cut off for longer than its watch lives, so that nobody sees it. Not
// parallel: all machines of east boot.
func TestAnEtcdOfBeforeAMove(t *testing.T) {
	s := newShop(t)
	e1, w1, w2 := east.Nodes[0], west.Nodes[0], west.Nodes[1]
	s.volume("waits")
	s.volume("cut")
	s.volume("plain", unkeyed)
	claims := []string{"waits", "cut", "plain"}
	for _, claim := range claims {
		s.starts(east, e1, claim)
	}
	backup := filepath.Join(t.TempDir(), "etcd")
	if err := east.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}

	for _, claim := range claims {
		s.deletes(east, claim)
	}
	s.starts(west, w1, "cut")
	s.waits(west, "a", "waits")
	s.waits(west, "b", "plain")
	eastAgain, westAgain := s.dies(east), s.dies(west)
	if err := w1.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	heal := sync.OnceFunc(func() {
		if err := w1.Heal(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(heal)
	s.Free("cut")
	if err := east.Restore(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	s.writes(east, "plain")
	s.findsNone(east, "waits")
	s.findsNone(east, "cut")
	heal()
	s.Grows("cut")

	eastAgain()
	s.deleted(east, west, "waits", "cut")
	westAgain()
	s.gets(west, w2, "a")
	s.Ready(west, "waits")
	s.Wrote("waits", east, west)
	s.Wrote("cut", east, west)
	s.named("waits", "west")
	s.named("cut", "west")
	s.clear(east)
}
