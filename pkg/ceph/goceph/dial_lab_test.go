//go:build lab && cgo

package goceph

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// Not parallel: what other tests let the libraries print would be taken for its own.
func TestDial(t *testing.T) {
	h := sharedHarness(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	data, err := os.ReadFile(h.ConfFile)
	must(t, err)
	conf := string(data)
	// As a ceph.conf for daemons has it: nothing of it may happen here.
	loud := file("loud.conf", strings.ReplaceAll(conf, "[client]\nlog_to_stderr = false", "")+
		"\n[client]\nlog_to_stderr = true\nerr_to_stderr = true\nlog_file = "+dir+"/client.log\nadmin_socket = "+dir+"/client.asok\ndebug_rbd = 20\ndebug_ms = 1\n")
	noKeyring := file("no-keyring.conf", strings.ReplaceAll(conf, "keyring = ", "keyring = /nowhere"))
	// type, seconds since 1970, nanoseconds and length, then the key.
	laterKey := base64.StdEncoding.EncodeToString(append([]byte{2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 32, 0}, make([]byte, 32)...))
	laterKeyring := file("later.keyring", "[client.other]\nkey = "+h.Provisioner.Key+"\n[client.later]\n\tkey = "+laterKey+"\n")
	laterConf := file("later.conf", strings.ReplaceAll(conf, "keyring = ", "keyring = "+laterKeyring+" # "))
	noMonitor := file("no-monitor.conf", strings.ReplaceAll(conf, "mon_host = ", "# mon_host = "))

	tests := map[string]struct {
		config Config
		want   error
	}{
		"a ceph.conf":                              {Config{ConfFile: h.ConfFile}, nil},
		"a ceph.conf and a user":                   {Config{ConfFile: h.ConfFile, User: h.Provisioner.ID}, nil},
		"a user with the prefix":                   {Config{ConfFile: h.ConfFile, User: "client." + h.Provisioner.ID}, nil},
		"a ceph.conf, a user and a keyring":        {Config{ConfFile: noKeyring, User: h.Provisioner.ID, Keyring: h.Provisioner.KeyringFile}, nil},
		"a ceph.conf that wants logs":              {Config{ConfFile: loud}, nil},
		"monitors, a user and a key":               {h.config(cephtest.Provisioner), nil},
		"a monitor as ceph-csi has it":             {Config{Monitors: h.Monitors, User: h.Provisioner.ID, Key: h.Provisioner.Key}, nil},
		"refused: a ceph.conf that is not there":   {Config{ConfFile: dir + "/absent.conf"}, ceph.ErrSettings},
		"refused: a ceph.conf without monitors":    {Config{ConfFile: noMonitor}, ceph.ErrSettings},
		"refused: no keyring":                      {Config{ConfFile: noKeyring}, ceph.ErrSettings},
		"refused: a key that is none":              {Config{Monitors: h.Monitors, User: h.Provisioner.ID, Key: "%"}, ceph.ErrSettings},
		"refused: a key of a later Ceph":           {Config{Monitors: h.Monitors, User: h.Provisioner.ID, Key: laterKey}, ceph.ErrKeyType},
		"refused: a keyring of a later Ceph":       {Config{ConfFile: h.ConfFile, User: "later", Keyring: laterKeyring}, ceph.ErrKeyType},
		"refused: a ceph.conf with such a keyring": {Config{ConfFile: laterConf, User: "later"}, ceph.ErrKeyType},
		"refused: a user that does not exist":      {Config{Monitors: []string{"v2:" + h.Monitors[0]}, User: "nobody", Key: h.Provisioner.Key}, ceph.ErrAuth},
		"refused: the key of another user":         {h.config(cephtest.Impostor), ceph.ErrAuth},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.config.Timeout = labTimeout
			printed := captureOutput(t, func() {
				cluster, err := Dial(t.Context(), test.config)
				if !errors.Is(err, test.want) {
					t.Errorf("got %v; want %v", err, test.want)
				}
				// Which library, and what to do.
				major, minor, patch := rados.Version()
				if version := fmt.Sprintf("(librados %d.%d.%d: ", major, minor, patch); errors.Is(err, ceph.ErrKeyType) && (!strings.Contains(err.Error(), version) || ceph.Advice(err) == "") {
					t.Errorf("%v does not say %q, or there is no advice", err, version)
				}
				if err != nil {
					return
				}
				// An error that librbd would write to its log.
				_, err = cluster.CreateImage(t.Context(), replica, ceph.Layout{Size: 1, Features: []string{"layering"}})
				if err != nil && !errors.Is(err, ceph.ErrImageExists) {
					t.Error(err)
				}
				must(t, cluster.Close())
			})
			// This one comes before there is a log.
			printed = strings.TrimPrefix(printed, "unable to get monitor info from DNS SRV with service name: ceph-mon\n")
			if printed != "" {
				t.Errorf("the libraries print %q", printed)
			}
		})
	}
	left, err := filepath.Glob(dir + "/client.*")
	must(t, err)
	if len(left) != 0 {
		t.Errorf("the libraries wrote %q", left)
	}
}

// captureOutput returns what f and all code in this process write to the file
// descriptors of stdout and stderr.
func captureOutput(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "output")
	must(t, err)
	defer file.Close()
	for _, fd := range []int{1, 2} {
		saved, err := syscall.Dup(fd)
		must(t, err)
		must(t, syscall.Dup3(int(file.Fd()), fd, 0))
		defer func() {
			must(t, syscall.Dup3(saved, fd, 0))
			must(t, syscall.Close(saved))
		}()
	}
	f()
	data, err := os.ReadFile(file.Name())
	must(t, err)
	return string(data)
}

func TestBlocklistedClient(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	address, err := cluster.rados.GetAddrs()
	must(t, err)
	h.block(t, "add", address)
	must(t, cluster.rados.WaitForLatestOSDMap())
	_, err = cluster.CreateImage(t.Context(), replica, ceph.Layout{Size: 1})
	if !errors.Is(err, ceph.ErrBlocklisted) {
		t.Errorf("got %v; want %v", err, ceph.ErrBlocklisted)
	}
}

// A program that tries again and again must not use up the machine.
func TestDialThatFailsLeavesNothingBehind(t *testing.T) {
	h := sharedHarness(t)
	fail := func(n int) {
		noKey := h.config(cephtest.Provisioner)
		noKey.Key = "%"
		for range n {
			if _, err := Dial(t.Context(), h.config(cephtest.Impostor)); !errors.Is(err, ceph.ErrAuth) {
				t.Fatalf("got %v; want %v", err, ceph.ErrAuth)
			}
			if _, err := Dial(t.Context(), noKey); !errors.Is(err, ceph.ErrSettings) {
				t.Fatalf("got %v; want %v", err, ceph.ErrSettings)
			}
		}
	}
	fail(1)
	before := threads(t)
	fail(50)
	if after := threads(t); after > before+10 {
		t.Errorf("%d threads, before %d", after, before)
	}
}
