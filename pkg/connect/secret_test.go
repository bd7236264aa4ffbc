package connect

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

func classOf(driver, clusterID, namespace, name string) storagev1.StorageClass {
	return storagev1.StorageClass{Provisioner: driver, Parameters: map[string]string{
		"clusterID": clusterID, "csi.storage.k8s.io/node-stage-secret-namespace": namespace, "csi.storage.k8s.io/node-stage-secret-name": name}}
}

func marked(name string, annotations ...string) metav1.PartialObjectMetadata {
	secret := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{}}}
	for _, annotation := range annotations {
		secret.Annotations[annotation] = "true"
	}
	return secret
}

// TestSecretIsFound: which of the secrets of a Rook cluster the webhook takes its Ceph user from.
func TestSecretIsFound(t *testing.T) {
	const rbd, cephFS = "rook-ceph.rbd.csi.ceph.com", "rook-ceph.cephfs.csi.ceph.com"
	forbidden := apierrors.NewForbidden(corev1.Resource("secrets"), "", errors.New("no"))
	stored := func(rbd string, users ...string) objects {
		all := objects{"rook-ceph/rook-ceph-csi-config": map[string]string{"csi-cluster-config-json": `[]`}, "rook-ceph/ceph-csi-config": map[string]string{
			"config.json": `[{"clusterID":"rook-ceph","monitors":["m"],"rbd":{` + rbd + `}}]`, "cluster-mapping.json": `[{"clusterIDMapping":{"east":"rook-ceph"}}]`}}
		for _, name := range users {
			all["rook-ceph/"+name] = user(name)
		}
		return all
	}
	tests := map[string]struct {
		stored     objects
		clusterID  string
		classes    []storagev1.StorageClass
		classesErr error
		secrets    []metav1.PartialObjectMetadata
		secretsErr error
		source     CSI
		want       string
		err        string
	}{
		"a usual Rook cluster: by the StorageClass": {
			stored:  stored("", "csi-rbd-node.2", "rook-csi-rbd-node"),
			classes: []storagev1.StorageClass{classOf(cephFS, "rook-ceph", "rook-ceph", "files"), classOf(rbd, "other", "rook-ceph", "other"), classOf(rbd, "rook-ceph", "rook-ceph", "csi-rbd-node.2")},
			want:    "csi-rbd-node.2",
		},
		"by a class of what the clusterID is mapped to": {
			stored: stored("", "node"), clusterID: "east",
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "node")},
			want:    "node",
		},
		"two classes with one secret": {
			stored:  stored("", "node"),
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "node"), classOf(rbd, "rook-ceph", "rook-ceph", "node")},
			want:    "node",
		},
		"two classes with two, by config.json": {
			stored:  stored(`"nodePublishSecretRef":{"name":"published","namespace":"rook-ceph"},"controllerPublishSecretRef":{"name":"maker","namespace":"rook-ceph"}`, "a", "b", "published", "maker"),
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "a"), classOf(rbd, "rook-ceph", "rook-ceph", "b")},
			want:    "published",
		},
		"no class, by config.json's provisioner": {
			stored: stored(`"controllerPublishSecretRef":{"name":"maker","namespace":"rook-ceph"}`, "maker"),
			want:   "maker",
		},
		"by a template of a class: none": {
			stored:  stored(`"controllerPublishSecretRef":{"name":"maker","namespace":"rook-ceph"}`, "maker"),
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "${pvc.namespace}")},
			want:    "maker",
		},
		"by Rook's annotation": {
			stored:  stored("", "csi-rbd-node-east-pool", "csi-rbd-provisioner-east-pool", "rook-csi-rbd-node"),
			secrets: []metav1.PartialObjectMetadata{marked("rook-csi-rbd-node"), marked("csi-rbd-provisioner-east-pool", "csi.rook.io/RBDProvisionerSecret"), marked("csi-rbd-node-east-pool", "csi.rook.io/RBDNodeSecret")},
			want:    "csi-rbd-node-east-pool",
		},
		"by Rook's annotation of the provisioner": {
			stored:  stored("", "maker"),
			secrets: []metav1.PartialObjectMetadata{marked("maker", "csi.rook.io/RBDProvisionerSecret"), marked("files", "csi.rook.io/CephFSProvisionerSecret")},
			want:    "maker",
		},
		"an annotation that says false": {
			stored:  stored("", "rook-csi-rbd-node", "old"),
			secrets: []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: "old", Annotations: map[string]string{"csi.rook.io/RBDNodeSecret": "false"}}}},
			want:    "rook-csi-rbd-node",
		},
		"by Rook's usual name": {
			stored: stored("", "rook-csi-rbd-node"),
			want:   "rook-csi-rbd-node",
		},
		"who may list nothing": {
			stored: stored("", "rook-csi-rbd-node"), classesErr: forbidden, secretsErr: forbidden,
			want: "rook-csi-rbd-node",
		},
		"the class's secret is gone": {
			stored:  stored("", "rook-csi-rbd-node"),
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "gone")},
			want:    "rook-csi-rbd-node",
		},
		"who may read the usual secret only": {
			stored:  stored("", "rook-csi-rbd-node"),
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "hidden")},
			want:    "rook-csi-rbd-node",
		},
		"a secret that is named wins": {
			stored:  stored("", "observer", "node"),
			classes: []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "node")},
			source:  CSI{Secret: corev1.SecretReference{Namespace: "rook-ceph", Name: "observer"}},
			want:    "observer",
		},
		"a secret that is named for the clusterID wins": {
			stored: stored("", "observer", "far"),
			source: CSI{Secret: corev1.SecretReference{Namespace: "rook-ceph", Name: "observer"}, Secrets: map[string]corev1.SecretReference{"rook-ceph": {Namespace: "rook-ceph", Name: "far"}}},
			want:   "far",
		},
		"a secret that is named for what the clusterID is mapped to wins": {
			stored: stored("", "observer", "far"), clusterID: "east",
			source: CSI{Secret: corev1.SecretReference{Namespace: "rook-ceph", Name: "observer"}, Secrets: map[string]corev1.SecretReference{"rook-ceph": {Namespace: "rook-ceph", Name: "far"}}},
			want:   "far",
		},
		"refused: nothing names one": {
			stored:     stored(`"controllerPublishSecretRef":{"name":"maker","namespace":"vault"}`, "a", "b"),
			classes:    []storagev1.StorageClass{classOf(rbd, "rook-ceph", "rook-ceph", "a"), classOf(rbd, "rook-ceph", "rook-ceph", "b")},
			secretsErr: forbidden,
			err: `no secret with a ceph user for clusterID "rook-ceph" (the StorageClasses' node-stage-secret: rook-ceph/a, rook-ceph/b; config.json's rbd.nodePublishSecretRef: none; ` +
				`config.json's rbd.controllerPublishSecretRef: vault/maker (not in a namespace of the configuration); ` +
				`annotation csi.rook.io/RBDNodeSecret: list the Secrets in namespace rook-ceph: secrets is forbidden: no; ` +
				`annotation csi.rook.io/RBDProvisionerSecret: list the Secrets in namespace rook-ceph: secrets is forbidden: no; ` +
				`Rook's usual name: rook-ceph/rook-csi-rbd-node, which is not there); ` +
				`name one (ceph.secret in the chart, --ceph-secret), or let the webhook read the Secrets there (ceph.findSecrets)`,
		},
		"an outage is none of these": {
			stored:     stored("", "rook-csi-rbd-node"),
			classesErr: errors.New("the server is down"),
			err:        "list the StorageClasses: the server is down",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source := test.source
			source.Get, source.Namespaces = test.stored.get, []string{"rook-ceph"}
			source.Lists = Lists{
				Classes: func(context.Context) ([]storagev1.StorageClass, error) { return test.classes, test.classesErr },
				Secrets: func(_ context.Context, namespace string) ([]metav1.PartialObjectMetadata, error) {
					if namespace != "rook-ceph" {
						t.Errorf("the Secrets of namespace %s are listed", namespace)
					}
					return test.secrets, test.secretsErr
				},
			}
			if test.clusterID == "" {
				test.clusterID = "rook-ceph"
			}
			got, err := source.Settings(t.Context(), test.clusterID, corev1.SecretReference{})
			said := ""
			if err != nil {
				said = err.Error()
			}
			if diff := cmp.Diff(test.err, said); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if got.User != test.want {
				t.Errorf("got user %q, want %q", got.User, test.want)
			}
			if errors.Is(err, csiconfig.ErrNotFound) {
				t.Errorf("%v is ErrNotFound", err)
			}
		})
	}
}
