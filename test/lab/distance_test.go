//go:build linux && lab

package lab

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// Nobody listens at the other end, and to hear that takes the way there and back.
func TestADistanceTakesItsTime(t *testing.T) {
	d, err := StartDistance(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, oneWay := range []time.Duration{0, 20 * time.Millisecond, 0, time.Millisecond} {
		d.Set(oneWay)
		begin := time.Now()
		_, err := net.DialTimeout("tcp", net.JoinHostPort(d.Address, "9"), 10*time.Second)
		if took := time.Since(begin); !errors.Is(err, syscall.ECONNREFUSED) || took < 2*oneWay {
			t.Errorf("with %v each way, the answer came after %v: %v", oneWay, took, err)
		}
	}
	link := d.network.Link
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName(link); err == nil {
		t.Errorf("device %s is still there", link)
	}
}
