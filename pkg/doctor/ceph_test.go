package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/doctor"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/testdata"
)

func TestClasses(t *testing.T) {
	all, err := storageclass.FromFiles(testdata.Copy(t, "postrender/classes.yaml"))(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var block storagev1.StorageClass
	for _, class := range all {
		if class.Name == "ceph-block" {
			block = class
		}
	}
	other := storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "rancher.io/local-path"}
	tests := map[string]struct {
		classes []storagev1.StorageClass
		err     error
		names   []string
		want    doctor.Finding
	}{
		"one that can be used": {
			classes: []storagev1.StorageClass{other, block},
			names:   []string{"ceph-block"},
			want:    doctor.Finding{State: doctor.OK, Says: "ceph-block"},
		},
		"none": {
			classes: []storagev1.StorageClass{other},
			want:    doctor.Finding{State: doctor.Problem, Says: "none of 1 StorageClasses is a ceph-csi class that volumes can be created from", Do: "create a StorageClass for ceph-csi, as in Rook's deploy/examples/csi"},
		},
		"no right": {
			err:  errors.New("forbidden"),
			want: doctor.Finding{State: doctor.Problem, Says: "forbidden", Do: "pass a manifest with --storage-class FILE, or ask for permission to list storageclasses"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.want.Check = "class"
			usable, got := doctor.Classes(t.Context(), func(context.Context) ([]storagev1.StorageClass, error) { return test.classes, test.err })
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var names []string
			for _, class := range usable {
				names = append(names, class.Name)
			}
			if diff := cmp.Diff(test.names, names); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCeph(t *testing.T) {
	block := storageclass.Class{Name: "block", RBD: &storageclass.RBD{Pool: "replicapool"}}
	files := storageclass.Class{Name: "files", CephFS: &storageclass.CephFS{Filesystem: "cephfs"}}
	tests := map[string]struct {
		class     storageclass.Class
		user      cephtest.User
		pool      string
		namespace string
		intercept func(context.Context, cephtest.Call, func() error) error
		dial      error
		want      doctor.Finding
	}{
		"all is well": {
			class: block,
			pool:  "replicapool",
			want:  doctor.Finding{State: doctor.OK, Says: "class block: pool replicapool answers, and the key may write"},
		},
		"in a rados namespace": {
			class: block,
			pool:  "replicapool", namespace: "blue",
			want: doctor.Finding{State: doctor.OK, Says: "class block: pool replicapool/blue answers, and the key may write"},
		},
		"no such pool": {
			class: block,
			pool:  "other",
			want:  doctor.Finding{State: doctor.Problem, Says: `class block: look at image "replicapool/cephferry-doctor-probe": the pool does not exist`, Do: ceph.Advice(ceph.ErrPoolNotFound)},
		},
		"a key that may only look": {
			class: block,
			user:  cephtest.Observer, pool: "replicapool",
			want: doctor.Finding{State: doctor.Problem, Says: `class block: write record of image "replicapool/cephferry-doctor-probe": the ceph user lacks a capability`, Do: ceph.Advice(ceph.ErrPermission)},
		},
		"no answer": {
			class:     block,
			pool:      "replicapool",
			intercept: func(context.Context, cephtest.Call, func() error) error { return ceph.ErrUnreachable },
			want:      doctor.Finding{State: doctor.Problem, Says: `class block: look at image "replicapool/cephferry-doctor-probe": ceph does not answer`, Do: ceph.Advice(ceph.ErrUnreachable)},
		},
		"a file system": {
			class: files, pool: "replicapool",
			want: doctor.Finding{State: doctor.OK, Says: "class files: file system cephfs answers, and the key may write"},
		},
		"no such file system": {
			class: storageclass.Class{Name: "files", CephFS: &storageclass.CephFS{Filesystem: "other"}}, pool: "replicapool",
			want: doctor.Finding{State: doctor.Problem, Says: `class files: look at subvolume "other/csi/cephferry-doctor-probe": the file system does not exist`, Do: ceph.Advice(ceph.ErrFilesystemNotFound)},
		},
		"a key that may only look at a file system": {
			class: files, user: cephtest.Observer, pool: "replicapool",
			want: doctor.Finding{State: doctor.Problem, Says: `class files: write record of subvolume "cephfs/csi/cephferry-doctor-probe": the ceph user lacks a capability`, Do: ceph.Advice(ceph.ErrPermission)},
		},
		"a key of type aes256k": {
			class: block,
			dial:  fmt.Errorf("connect as client.csi-rbd-provisioner: %w (librados 16.2.15: invalid argument)", ceph.ErrKeyType),
			want: doctor.Finding{State: doctor.Problem, Says: "class block: connect as client.csi-rbd-provisioner: the key is of type aes256k, which this program's librados does not know (librados 16.2.15: invalid argument)",
				Do: "run a build with librados of Ceph 19.2.6, 20.2.4 or later, or give the user a key of the old type; see docs/security.md"},
		},
		"no configuration": {
			class: block,
			dial:  errors.New("no ConfigMap"),
			want:  doctor.Finding{State: doctor.Problem, Says: "class block: no ConfigMap", Do: "check the monitors in ceph-csi's configuration and the class's provisioner secret, or pass --ceph-conf, --ceph-id and --ceph-keyring"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := cephtest.New(cephtest.Pool{Name: test.pool, Namespaces: []string{"blue"}})
			fake.AddFilesystem(cephtest.Filesystem{Name: "cephfs"})
			fake.Intercept(test.intercept)
			connect := func(ctx context.Context, _ storageclass.Class) (provision.Location, error) {
				if test.dial != nil {
					return provision.Location{}, test.dial
				}
				client, err := fake.Dial(ctx, test.user)
				if err != nil {
					return provision.Location{}, err
				}
				t.Cleanup(func() { client.Close() })
				return provision.Location{Cluster: client, RadosNamespace: test.namespace, SubvolumeGroup: "csi"}, nil
			}
			test.want.Check = "ceph"
			if diff := cmp.Diff(test.want, doctor.Ceph(t.Context(), connect, test.class)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
