//go:build lab

package provisioner

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

// class makes a StorageClass in west that is another one with these parameters, and
// returns its name.
func (tm *team) class(of string, parameters map[string]string) string {
	tm.Helper()
	class, err := west.Client.StorageV1().StorageClasses().Get(tm.Context(), of, metav1.GetOptions{})
	tm.must(err)
	made := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: tm.Namespace + "-" + of}, Provisioner: class.Provisioner, Parameters: class.Parameters,
	}
	maps.Copy(made.Parameters, parameters)
	_, err = west.Client.StorageV1().StorageClasses().Create(tm.Context(), made, metav1.CreateOptions{})
	tm.must(err)
	return made.Name
}

// TestNamesThatMustNotDiffer is the table of docs/names.md, What must not differ:
// each gives west a second, empty volume while the app runs in east, and the guard
// has nothing to say about that, because it is another image. A claim that adopts is
// refused instead.
func TestNamesThatMustNotDiffer(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		parameters map[string]string
		claim      string // in west
		second     string // the image that west gets; IMAGE is the one that east has
	}{
		"the image": {claim: "other", second: "replicapool/NS.other"},
		"the pool":  {map[string]string{"pool": lab.OtherPool}, "data", "otherpool/NS.data"},
		"the rados namespace, by an equal clusterID": {map[string]string{"clusterID": "rook-ceph"}, "data", "replicapool/blue/NS.data"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tm := newTeam(t)
			if strings.Contains(test.second, "/blue/") {
				_, err := storage.RBD(t.Context(), "namespace", "create", "--pool", lab.Pool, "--namespace", "blue")
				tm.must(err)
			}
			second := strings.ReplaceAll(test.second, "NS", tm.Namespace)
			class := "cephferry.io/class: " + tm.class(west.Rook.BlockClass, test.parameters)
			tm.apply(east, claim("data", "16Mi")+pod("app", "data"))
			tm.Ready(east, "app")

			image := "cephferry.io/image: " + tm.image(test.claim)
			tm.apply(west, claim("adopting", "16Mi", class, image, `cephferry.io/adopt: "true"`))
			tm.event(west, "adopting", "Warning ProvisioningFailed: adopt image "+second+": the image does not exist")
			tm.Kubectl(west, "delete", "persistentvolumeclaim/adopting")

			tm.apply(west, claim(test.claim, "16Mi", class)+pod("app", test.claim))
			tm.Ready(west, "app")
			tm.wroteTo(second, west)
			tm.wrote(tm.image("data"), east)
		})
	}
}

// TestNamesThatMustNotDifferOnCephFS is the same for subvolumes.
func TestNamesThatMustNotDifferOnCephFS(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	tm.must(storage.WaitFilesystem(t.Context()))
	subvolume := tm.image("files")
	tm.apply(east, shared("files", "cephferry.io/class: ceph-filesystem")+pod("app", "files"))
	tm.Ready(east, "app")

	class := "cephferry.io/class: " + tm.class(west.Rook.FilesystemClass, map[string]string{"clusterID": "other-group"})
	tm.apply(west, shared("adopting", class, "cephferry.io/image: "+subvolume, `cephferry.io/adopt: "true"`))
	tm.event(west, "adopting", "Warning ProvisioningFailed: adopt subvolume cephfs/blue/"+subvolume+": the subvolume does not exist")
	tm.Kubectl(west, "delete", "persistentvolumeclaim/adopting")

	tm.apply(west, shared("files", class)+pod("app", "files"))
	tm.Ready(west, "app")
	tm.sees(west, west, subvolume)
	for _, node := range west.Nodes {
		stamps, err := node.Sees(subvolume)
		tm.must(err)
		for _, s := range stamps {
			if s.Cluster != west.Name {
				t.Errorf("west reads what %s wrote", s.Cluster)
			}
		}
	}
	if root := tm.volume(west, subvolume).Spec.CSI.VolumeAttributes["rootPath"]; !strings.HasPrefix(root, "/volumes/blue/"+subvolume+"/") {
		t.Errorf("the rootPath in west is %s", root)
	}
}

// TestNamesThatAreRefused are those for which no cluster ever gets a second volume.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		of          string
		parameters  map[string]string
		annotations []string
		want        string
	}{
		"a class of the other cluster": {annotations: []string{"cephferry.io/class: ceph-block"}, want: `no such StorageClass as "ceph-block"`},
		"an image of another namespace": {annotations: []string{"cephferry.io/image: other.data"},
			want: `namespace NS may use images whose names begin with "NS.", and image "other.data" is not granted to it`},
		"a clusterID of the other cluster": {of: "fast", parameters: map[string]string{"clusterID": "6f1d2a0b"},
			want: `no ceph-csi configuration for clusterID "6f1d2a0b": looked at ConfigMap`},
		"a secret of the other cluster": {of: "fast", parameters: map[string]string{"csi.storage.k8s.io/provisioner-secret-name": othersSecret},
			want: "add the secret to the value provisioner.secrets of the chart cephferry"},
		"a pool that is not there":        {of: "fast", parameters: map[string]string{"pool": "nowhere"}, want: "the pool does not exist"},
		"a file system that is not there": {of: "files", parameters: map[string]string{"fsName": "nowhere"}, want: "the file system does not exist"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tm := newTeam(t)
			if test.of == "files" {
				tm.must(storage.WaitFilesystem(t.Context()))
			}
			annotations := test.annotations
			if test.of != "" {
				annotations = append(annotations, "cephferry.io/class: "+tm.class(test.of, test.parameters))
			}
			tm.apply(west, claim("data", "16Mi", annotations...))
			tm.event(west, "data", "Warning ProvisioningFailed", strings.ReplaceAll(test.want, "NS", tm.Namespace))
		})
	}
}

// TestAVolumeOfTheOtherClusterIsNotCopied: its names are those of the other Rook.
func TestAVolumeOfTheOtherClusterIsNotCopied(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	tm.apply(east, claim("data", "16Mi"))
	tm.bound(east, "data", tm.image("data"))
	pv := tm.volume(east, tm.image("data"))
	pv.ObjectMeta = metav1.ObjectMeta{Name: pv.Name, Annotations: map[string]string{"cephferry.io/migratable": "true"}}
	pv.Spec.ClaimRef.UID, pv.Spec.ClaimRef.ResourceVersion = "", ""
	_, err := west.Client.CoreV1().PersistentVolumes().Create(t.Context(), pv, metav1.CreateOptions{})
	tm.must(err)
	tm.apply(west, strings.Replace(claim("data", "16Mi"), "spec: {", "spec: {volumeName: "+pv.Name+", ", 1))
	tm.bound(west, "data", pv.Name)
	err = west.Apply(t.Context(), strings.ReplaceAll(pod("app", "data"), "NS", tm.Namespace))
	if err == nil || !strings.Contains(err.Error(), "cannot know whether volume "+tm.Namespace+"/data (image replicapool/blue/"+pv.Name+") is in use") {
		t.Errorf("the pod: %v", err)
	}
}

// TestTheCephMustNotDiffer: a clusterID of west leads to another Ceph, whose users
// the platform team has told the chart of.
func TestTheCephMustNotDiffer(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	far := labtest.RBD(t)
	tm.apply(west, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, stringData: {userID: %s, userKey: %q}}",
		farSecret, west.Rook.Namespace, far.Provisioner.ID, far.Provisioner.Key))
	tm.addClusterID("far", far.Monitors)
	class := "cephferry.io/class: " + tm.class(west.Rook.BlockClass, map[string]string{
		"clusterID": "far", "csi.storage.k8s.io/provisioner-secret-name": farSecret,
	})
	tm.apply(east, claim("data", "16Mi"))
	tm.bound(east, "data", tm.image("data"))
	tm.apply(west, claim("adopting", "16Mi", class, "cephferry.io/image: "+tm.image("data"), `cephferry.io/adopt: "true"`))
	tm.event(west, "adopting", "Warning ProvisioningFailed: adopt image replicapool/"+tm.image("data")+": the image does not exist")
	tm.Kubectl(west, "delete", "persistentvolumeclaim/adopting")

	tm.apply(west, claim("data", "16Mi", class))
	tm.bound(west, "data", tm.image("data"))
	_, err := far.RBD(t.Context(), "info", lab.Pool+"/"+tm.image("data"))
	tm.must(err)
}

// addClusterID adds an entry to west's configuration of ceph-csi.
func (tm *team) addClusterID(id string, monitors []string) {
	tm.Helper()
	const key = "csi-cluster-config-json"
	configMaps := west.Client.CoreV1().ConfigMaps(west.Rook.Operator)
	config, err := configMaps.Get(tm.Context(), string(west.Rook.Config), metav1.GetOptions{})
	tm.must(err)
	var entries []any
	tm.must(json.Unmarshal([]byte(config.Data[key]), &entries))
	data, err := json.Marshal(append(entries, map[string]any{"clusterID": id, "monitors": monitors}))
	tm.must(err)
	config.Data[key] = string(data)
	_, err = configMaps.Update(tm.Context(), config, metav1.UpdateOptions{})
	tm.must(err)
}
