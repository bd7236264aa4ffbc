package doctor_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/doctor"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestNodes(t *testing.T) {
	class := storageclass.Class{Name: "block", NodeStageSecret: corev1.SecretReference{Namespace: "rook-ceph", Name: "node"}}
	secret := forbidden("secrets")
	tests := map[string]struct {
		user    cephtest.User
		connect error
		away    bool
		want    doctor.Finding
	}{
		"they may": {user: cephtest.Operator, want: doctor.Finding{State: doctor.OK, Check: "nodes", Says: "class block: the Ceph user of secret rook-ceph/node may blocklist a node that has died"}},
		"they may not": {user: cephtest.Observer, want: doctor.Finding{State: doctor.Problem, Check: "nodes",
			Says: "class block: the Ceph user of secret rook-ceph/node, with which nodes map images, may not blocklist: no other node could take over the lock of an image from one that has died",
			Do:   "give that user the capability mon 'profile rbd'; `ceph auth get client.<user>` shows what it has, and `ceph auth caps` sets all at once"}},
		"the secret cannot be read": {connect: secret, want: doctor.Finding{State: doctor.Skipped, Check: "nodes",
			Says: "class block: whether the Ceph user of secret rook-ceph/node, with which nodes map images, may blocklist a node that has died is not known: " + secret.Error()}},
		"Ceph is away": {user: cephtest.Operator, away: true, want: doctor.Finding{State: doctor.Skipped, Check: "nodes",
			Says: "class block: whether the Ceph user of secret rook-ceph/node, with which nodes map images, may blocklist a node that has died is not known: ask for the right to change the blocklist: ceph does not answer"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := cephtest.New()
			if test.away {
				fake.Intercept(cephtest.Unreachable)
			}
			connect := func(ctx context.Context, _ storageclass.Class) (ceph.Fencer, error) {
				if test.connect != nil {
					return nil, test.connect
				}
				return fake.Dial(ctx, test.user)
			}
			if diff := cmp.Diff(test.want, doctor.Nodes(t.Context(), connect, class)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
