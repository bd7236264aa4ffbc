package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHeaders: the script of the Dockerfile installs the headers of the libraries that are
// there, of their version, on bases of either kind, and nothing where it cannot know it.
func TestHeaders(t *testing.T) {
	for name, test := range map[string]struct {
		// programs are those of the base image, what they print, and their exit codes.
		programs map[string]string
		calls    []string
		err      string
	}{
		"Ceph's own image": {
			programs: map[string]string{"rpm": "echo 2:20.2.4-0.el9", "dnf": ""},
			calls: []string{
				"dnf install -y --disablerepo=* --enablerepo=baseos,appstream,[Cc]eph --setopt=install_weak_deps=False gcc gcc-c++ make gawk librados-devel-2:20.2.4-0.el9 libradospp-devel-2:20.2.4-0.el9 librbd-devel-2:20.2.4-0.el9",
				"dnf clean all",
			},
		},
		"a Debian": {
			programs: map[string]string{"dpkg-query": "echo 16.2.15+ds-0+deb12u1", "apt-get": ""},
			calls: []string{
				"apt-get update -q",
				"apt-get install -q -y --no-install-recommends gcc g++ libc6-dev make gawk librados-dev=16.2.15+ds-0+deb12u1 libradospp-dev=16.2.15+ds-0+deb12u1 librbd-dev=16.2.15+ds-0+deb12u1",
			},
		},
		"an rpm base without Ceph": {
			programs: map[string]string{"rpm": "echo package librados2 is not installed; exit 1", "dnf": ""},
			err:      "headers: the base image has no package librados2",
		},
		"a Debian without Ceph": {
			programs: map[string]string{"dpkg-query": "echo no packages found matching librados2 >&2; exit 1", "apt-get": ""},
			err:      "headers: the base image has no package librados2",
		},
		"a Debian whose mirror has a newer version only": {
			programs: map[string]string{"dpkg-query": "echo 16", "apt-get": `[ "$1" = update ] || { echo "E: Version '16' for 'librados-dev' was not found" >&2; exit 100; }`},
			calls:    []string{"apt-get update -q", "apt-get install -q -y --no-install-recommends gcc g++ libc6-dev make gawk librados-dev=16 libradospp-dev=16 librbd-dev=16"},
			err:      "E: Version '16' for 'librados-dev' was not found",
		},
		"a base of another kind": {
			programs: map[string]string{"apk": ""},
			err:      "headers: the base image has neither dnf nor apt-get",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			log := filepath.Join(bin, "calls")
			for program, body := range test.programs {
				script := "#!/bin/sh\n"
				if program == "dnf" || program == "apt-get" {
					script += "echo " + program + " \"$@\" >>" + log + "\n"
				}
				if err := os.WriteFile(filepath.Join(bin, program), []byte(script+body+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("/bin/sh", "../../image/headers")
			cmd.Env = []string{"PATH=" + bin}
			out, err := cmd.CombinedOutput()
			if (err != nil) != (test.err != "") || !strings.Contains(string(out), test.err) {
				t.Errorf("%v: %s; want %q", err, out, test.err)
			}
			calls, err := os.ReadFile(log)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			want := strings.Join(append(test.calls, ""), "\n")
			if string(calls) != want {
				t.Errorf("it calls\n%s; want\n%s", calls, want)
			}
		})
	}
}
