package goceph

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigOptions(t *testing.T) {
	tests := map[string]struct {
		config Config
		want   map[string]string
		absent []string
	}{
		"the ceph command's": {
			Config{},
			map[string]string{"rados_osd_op_timeout": "5", "rados_mon_op_timeout": "5", "client_mount_timeout": "5", "log_to_stderr": "false", "admin_socket": ""},
			[]string{"mon_host", "key", "keyring"},
		},
		"ceph-csi's": {
			Config{Monitors: []string{"10.0.0.1:6789", "[v2:10.0.0.2:3300,v1:10.0.0.2:6789]"}, Key: "AQB="},
			map[string]string{"mon_host": "10.0.0.1:6789,[v2:10.0.0.2:3300,v1:10.0.0.2:6789]", "key": "AQB="},
			[]string{"keyring"},
		},
		"a keyring file": {
			Config{Keyring: "/etc/ceph/k"},
			map[string]string{"keyring": "/etc/ceph/k"},
			[]string{"mon_host", "key"},
		},
		"the manager's": {
			Config{patientWithMonitors: true},
			map[string]string{"rados_osd_op_timeout": "5", "rados_mon_op_timeout": "0", "client_mount_timeout": "5"},
			nil,
		},
		"librados knows whole seconds": {
			Config{Timeout: 1100 * time.Millisecond},
			map[string]string{"rados_osd_op_timeout": "2"},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			for _, o := range test.config.options() {
				got[o.name] = o.value
			}
			for name, want := range test.want {
				if diff := cmp.Diff(want, got[name]); diff != "" {
					t.Errorf("%s -want +got:\n%s", name, diff)
				}
			}
			for _, name := range test.absent {
				if value, ok := got[name]; ok {
					t.Errorf("%s is set to %q", name, value)
				}
			}
		})
	}
}

func TestConfigWhere(t *testing.T) {
	tests := map[string]Config{
		"connect to ceph as client.admin by the default ceph.conf":     {},
		"connect to ceph as client.csi by /etc/x.conf":                 {ConfFile: "/etc/x.conf", User: "csi"},
		"connect to ceph as client.csi by 10.0.0.1:6789,10.0.0.2:6789": {Monitors: []string{"10.0.0.1:6789", "10.0.0.2:6789"}, User: "client.csi", Key: "secret"},
	}
	for want, config := range tests {
		if got := config.where(); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
