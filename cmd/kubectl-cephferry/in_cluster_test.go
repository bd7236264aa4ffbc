package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestPodCommand: the pod gets what was asked for, and nothing of how this machine asks.
func TestPodCommand(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		by   string
		want []string
	}{
		"status": {
			[]string{"status", "-A", "--context", "west", "--as=ann", "--in-cluster", "-o", "yaml"}, "",
			[]string{"kubectl-cephferry", "status", "--direct", "--namespace=shop", "--all-namespaces=true", "--output=yaml", "--"},
		},
		"failover": {
			[]string{"failover", "shop/a", "shop/b", "--direct", "--in-cluster", "--from", "east", "--yes", "--also-fence", "10.0.0.1", "--also-fence", "10.0.0.2"}, "ann",
			[]string{"kubectl-cephferry", "failover", "--direct", "--namespace=shop", "--by=ann", "--from=east", "--yes=true", "--also-fence=10.0.0.1", "--also-fence=10.0.0.2", "--", "shop/a", "shop/b"},
		},
		"restore": {
			[]string{"restore", "--in-cluster", "--from=east", "--access-mode", "ReadWriteOnce,ReadOnlyMany", "--volume-mode=Filesystem"}, "",
			[]string{"kubectl-cephferry", "restore", "--direct", "--namespace=shop", "--from=east", "--access-mode=ReadWriteOnce", "--access-mode=ReadOnlyMany", "--volume-mode=Filesystem", "--"},
		},
		"the settings of the webhook": {
			[]string{"clusters", "--in-cluster", "--ceph-config-namespace=ceph", "--cluster-name=west", "--cluster=kube"}, "",
			[]string{"kubectl-cephferry", "clusters", "--direct", "--namespace=shop", "--ceph-config-namespace=ceph", "--cluster-name=west", "--"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(streams{})
			var got []string
			root.PersistentPreRunE = func(command *cobra.Command, args []string) error {
				if err := mayRunInPod(command); err != nil {
					return err
				}
				got = podCommand(command, args, "shop", test.by)
				return errShown
			}
			root.SetArgs(test.args)
			if err := root.ExecuteContext(t.Context()); !errors.Is(err, errShown) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			// The pod understands it.
			again := newRoot(streams{})
			again.PersistentPreRunE = func(*cobra.Command, []string) error { return errShown }
			again.SetArgs(slices.Clone(got[1:]))
			if err := again.ExecuteContext(t.Context()); !errors.Is(err, errShown) {
				t.Error(err)
			}
		})
	}
}
