package helmcall_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/helmcall"
)

// role says what the test binary is to be when it is started again by a test:
// parent, which starts a child and waits for it, or child, which calls Detect
// and prints what it found.
const role = "CEPHFERRY_TEST_ROLE"

// shell makes the parent start the child through a shell.
const shell = "CEPHFERRY_TEST_SHELL"

// found is what the child prints.
type found struct {
	Call  *helmcall.Call
	Error string
}

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "parent":
		err = beParent()
	case "child":
		err = beChild()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func beParent() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self)
	if os.Getenv(shell) != "" {
		// The second command keeps the shell from becoming the child.
		child = exec.Command("/bin/sh", "-c", `"$0"; exit $?`, self)
	}
	child.Env = append(os.Environ(), role+"=child")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	return child.Run()
}

func beChild() error {
	call, err := helmcall.Detect(context.Background())
	return json.NewEncoder(os.Stdout).Encode(found{call, text(err)})
}

// TestDetect starts real processes.
func TestDetect(t *testing.T) {
	tests := map[string]struct {
		argv  []string
		shell bool
		want  found
	}{
		"helm is the parent": {
			argv: []string{"helm", "install", "db", "./db", "-n", "shop", "--set", "a=b c", "--post-renderer", "postrender"},
			want: found{Call: &helmcall.Call{Command: "install", Connection: helmcall.Connection{Namespace: "shop"}}},
		},
		"helm is the parent of the parent": {
			argv:  []string{"/usr/local/bin/helm4", "upgrade", "db", "./db", "--dry-run=server"},
			shell: true,
			want:  found{Call: &helmcall.Call{Command: "upgrade", DryRun: true}},
		},
		"the last arguments are empty": {
			argv: []string{"helm", "template", "db", "./db", "--set", "", "--description", ""},
			want: found{Call: &helmcall.Call{Command: "template", DryRun: true}},
		},
		"an argument in the middle is empty": {
			argv: []string{"helm", "install", "db", "./db", "--description", "", "-n", "shop"},
			want: found{Call: &helmcall.Call{Command: "install", Connection: helmcall.Connection{Namespace: "shop"}}},
		},
		"helm has a flag that is not known": {
			argv: []string{"helm", "install", "db", "./db", "--warp"},
			want: found{Error: "read the helm command line: unknown flag: --warp"},
		},
		"no helm": {
			argv: []string{"helmfile", "apply", "-n", "shop"},
		},
		"no helm, through a shell": {
			argv:  []string{"make", "helm"},
			shell: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			parent := exec.CommandContext(t.Context(), self)
			parent.Args = test.argv
			parent.Env = append(os.Environ(), role+"=parent")
			if test.shell {
				parent.Env = append(parent.Env, shell+"=yes")
			}
			parent.Stderr = os.Stderr
			output, err := parent.Output()
			if err != nil {
				t.Fatal(err)
			}
			var got found
			if err := json.Unmarshal(output, &got); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			if diff := cmp.Diff(test.want, got, emptyGroups); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
