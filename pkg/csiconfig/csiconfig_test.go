package csiconfig_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseConfig(t *testing.T) {
	tests := map[string]struct {
		data string
		want []csiconfig.Entry
		err  string
	}{
		"no clusters": {data: `[]`},
		"null":        {data: `null`},
		"the rados namespace under rbd": {
			data: `[{"clusterID":"rook-ceph","monitors":["10.0.0.1:6789","[v2:10.0.0.2:3300,v1:10.0.0.2:6789]"],"rbd":{"radosNamespace":"tenant"},"cephFS":{"subvolumeGroup":""}}]`,
			want: []csiconfig.Entry{{ClusterID: "rook-ceph", Monitors: []string{"10.0.0.1:6789", "[v2:10.0.0.2:3300,v1:10.0.0.2:6789]"}, RadosNamespace: "tenant", SubvolumeGroup: "csi"}},
		},
		"the rados namespace at the top": {
			data: `[{"clusterID":"rook-ceph","monitors":["10.0.0.1:6789"],"radosNamespace":"tenant"}]`,
			want: []csiconfig.Entry{{ClusterID: "rook-ceph", Monitors: []string{"10.0.0.1:6789"}, RadosNamespace: "tenant", SubvolumeGroup: "csi"}},
		},
		"the rados namespace in both places": {
			data: `[{"clusterID":"a","radosNamespace":"old","rbd":{"radosNamespace":"new"}}]`,
			want: []csiconfig.Entry{{ClusterID: "a", RadosNamespace: "new", SubvolumeGroup: "csi"}},
		},
		"a subvolume group": {
			data: `[{"clusterID":"a","monitors":["m"],"cephFS":{"subvolumeGroup":"tenant","kernelMountOptions":"x"}}]`,
			want: []csiconfig.Entry{{ClusterID: "a", Monitors: []string{"m"}, SubvolumeGroup: "tenant", KernelMountOptions: "x"}},
		},
		"several clusters, with fields of no use here": {
			data: `[{"clusterID":"a","monitors":[],"namespace":"rook-ceph","readAffinity":{"enabled":true}},{"clusterID":"b","monitors":["m"],"rbd":{"netNamespaceFilePath":"/x","mirrorDaemonCount":1}}]`,
			want: []csiconfig.Entry{{ClusterID: "a", Monitors: []string{}, SubvolumeGroup: "csi"}, {ClusterID: "b", Monitors: []string{"m"}, SubvolumeGroup: "csi"}},
		},
		"secrets, as ceph-csi-operator writes them from a ClientProfile": {
			data: `[{"clusterID":"rook-ceph","monitors":["10.0.0.1:6789"],"cephFS":{"kernelMountOptions":"","fuseMountOptions":"","controllerPublishSecretRef":{"name":"rook-csi-cephfs-provisioner","namespace":"rook-ceph"}},"rbd":{"mirrorCount":0,"controllerPublishSecretRef":{"name":"rook-csi-rbd-provisioner","namespace":"rook-ceph"},"nodePublishSecretRef":{"name":"rook-csi-rbd-node","namespace":"rook-ceph"}},"nfs":{},"readAffinity":{"enabled":false}}]`,
			want: []csiconfig.Entry{{ClusterID: "rook-ceph", Monitors: []string{"10.0.0.1:6789"}, SubvolumeGroup: "csi", Secrets: csiconfig.Secrets{
				Node:              corev1.SecretReference{Namespace: "rook-ceph", Name: "rook-csi-rbd-node"},
				Provisioner:       corev1.SecretReference{Namespace: "rook-ceph", Name: "rook-csi-rbd-provisioner"},
				CephFSProvisioner: corev1.SecretReference{Namespace: "rook-ceph", Name: "rook-csi-cephfs-provisioner"},
			}}},
		},
		"an empty text": {
			data: ``,
			err:  `parse ceph-csi's config.json: unexpected end of JSON input`,
		},
		"an object instead of a list": {
			data: `{"clusterID":"a"}`,
			err:  `parse ceph-csi's config.json: json: cannot unmarshal object into Go value of type []csiconfig.storedEntry`,
		},
		"monitors in one text": {
			data: `[{"clusterID":"a","monitors":"m1,m2"}]`,
			err:  `parse ceph-csi's config.json: json: cannot unmarshal string into Go struct field storedEntry.monitors of type []string`,
		},
		"YAML": {
			data: "- clusterID: a\n",
			err:  `parse ceph-csi's config.json: invalid character ' ' in numeric literal`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := csiconfig.ParseConfig([]byte(test.data))
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func configMap(namespace, name, key, value string) runtime.Object {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string]string{key: value},
	}
}

func operator(namespace, value string) runtime.Object {
	return configMap(namespace, "ceph-csi-config", "config.json", value)
}

func mapping(namespace, config, mapping string) runtime.Object {
	object := operator(namespace, config).(*corev1.ConfigMap)
	object.Data["cluster-mapping.json"] = mapping
	return object
}

func rook(namespace, value string) runtime.Object {
	return configMap(namespace, "rook-ceph-csi-config", "csi-cluster-config-json", value)
}

func TestEntry(t *testing.T) {
	const one = `[{"clusterID":"a","monitors":["m1"]}]`
	tests := map[string]struct {
		objects    []runtime.Object
		namespaces []string
		want       csiconfig.Entry
		err        string
		notFound   bool
		ambiguous  bool
	}{
		"the operator's ConfigMap": {
			objects:    []runtime.Object{operator("rook-ceph", one)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"Rook's own ConfigMap": {
			objects:    []runtime.Object{rook("rook-ceph", `[{"clusterID":"b","monitors":["m"]},{"clusterID":"a","monitors":["m1","m2"],"rbd":{"radosNamespace":"t"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1", "m2"}, RadosNamespace: "t", SubvolumeGroup: "csi"},
		},
		"a subvolume group, in the operator's": {
			objects:    []runtime.Object{operator("rook-ceph", `[{"clusterID":"a","monitors":["m"],"cephFS":{"subvolumeGroup":"tenant"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m"}, SubvolumeGroup: "tenant"},
		},
		"a subvolume group, in Rook's own": {
			objects:    []runtime.Object{rook("rook-ceph", `[{"clusterID":"a","namespace":"rook-ceph","monitors":["m"],"cephFS":{"netNamespaceFilePath":"","subvolumeGroup":"tenant"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m"}, SubvolumeGroup: "tenant"},
		},
		"Rook's is empty, as it writes it beside the operator's": {
			objects:    []runtime.Object{operator("rook-ceph", one), rook("rook-ceph", `[]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"the operator's is empty, Rook's holds": {
			objects:    []runtime.Object{operator("rook-ceph", ``), rook("rook-ceph", one)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"both lead to one Ceph; the operator's goes first": {
			objects:    []runtime.Object{operator("rook-ceph", `[{"clusterID":"a","monitors":["m2","m1"]}]`), rook("rook-ceph", one)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m2", "m1"}, SubvolumeGroup: "csi"},
		},
		"both, with different monitors": {
			objects:    []runtime.Object{operator("rook-ceph", one), rook("rook-ceph", `[{"clusterID":"a","monitors":["old"]}]`)},
			namespaces: []string{"rook-ceph"},
			err: `ceph-csi's configuration is ambiguous for clusterID "a": ConfigMap rook-ceph/ceph-csi-config leads to monitors m1, rados namespace "" and subvolume group "csi", ` +
				`and ConfigMap rook-ceph/rook-ceph-csi-config leads to monitors old, rados namespace "" and subvolume group "csi"; ` +
				`correct the one that is wrong, or look only in the namespace of the right one (ceph.configNamespaces in the chart, --ceph-config-namespace)`,
			ambiguous: true,
		},
		"both, with different rados namespaces": {
			objects:    []runtime.Object{operator("rook-ceph", one), rook("rook-ceph", `[{"clusterID":"a","monitors":["m1"],"rbd":{"radosNamespace":"north"}}]`)},
			namespaces: []string{"rook-ceph"},
			err: `ceph-csi's configuration is ambiguous for clusterID "a": ConfigMap rook-ceph/ceph-csi-config leads to monitors m1, rados namespace "" and subvolume group "csi", ` +
				`and ConfigMap rook-ceph/rook-ceph-csi-config leads to monitors m1, rados namespace "north" and subvolume group "csi"; ` +
				`correct the one that is wrong, or look only in the namespace of the right one (ceph.configNamespaces in the chart, --ceph-config-namespace)`,
			ambiguous: true,
		},
		"one is mapped elsewhere, the other is not": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b","monitors":["m2"]}]`, `[{"clusterIDMapping":{"a":"b"}}]`), rook("rook-ceph", one)},
			namespaces: []string{"rook-ceph"},
			err: `ceph-csi's configuration is ambiguous for clusterID "a": ConfigMap rook-ceph/ceph-csi-config leads to monitors m2, rados namespace "" and subvolume group "csi", ` +
				`and ConfigMap rook-ceph/rook-ceph-csi-config leads to monitors m1, rados namespace "" and subvolume group "csi"; ` +
				`correct the one that is wrong, or look only in the namespace of the right one (ceph.configNamespaces in the chart, --ceph-config-namespace)`,
			ambiguous: true,
		},
		"topology": {
			objects:    []runtime.Object{operator("rook-ceph", `[{"clusterID":"a","monitors":["m1"],"topologyDomainLabels":{"topology.kubernetes.io/zone":"z1"}}]`)},
			namespaces: []string{"rook-ceph"},
			err:        `a migratable volume is on one Ceph, for every node: ConfigMap rook-ceph/ceph-csi-config has topologyDomainLabels in the entry of clusterID "a"; use a clusterID without it`,
		},
		"Rook's has what the operator's has not": {
			objects:    []runtime.Object{operator("rook-ceph", `[{"clusterID":"b","monitors":["m"]}]`), rook("rook-ceph", one)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"two installations of ceph-csi with one clusterID, and one Ceph": {
			objects:    []runtime.Object{operator("second", one), operator("first", `[{"clusterID":"a","monitors":["m0","m1:6789"]}]`)},
			namespaces: []string{"first", "second"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m0", "m1:6789"}, SubvolumeGroup: "csi"},
		},
		"two installations of ceph-csi with one clusterID, and two Cephs": {
			objects:    []runtime.Object{operator("second", one), operator("first", `[{"clusterID":"a","monitors":["m0"]}]`)},
			namespaces: []string{"first", "second"},
			err: `ceph-csi's configuration is ambiguous for clusterID "a": ConfigMap first/ceph-csi-config leads to monitors m0, rados namespace "" and subvolume group "csi", ` +
				`and ConfigMap second/ceph-csi-config leads to monitors m1, rados namespace "" and subvolume group "csi"; ` +
				`correct the one that is wrong, or look only in the namespace of the right one (ceph.configNamespaces in the chart, --ceph-config-namespace)`,
			ambiguous: true,
		},
		"the second namespace has it": {
			objects:    []runtime.Object{operator("second", one)},
			namespaces: []string{"", "first", "first", "second"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"nobody has it": {
			objects:    []runtime.Object{operator("first", `[{"clusterID":"b","monitors":["m"]}]`), rook("second", `[]`), operator("third", one)},
			namespaces: []string{"first", "second"},
			err:        `no ceph-csi configuration for clusterID "a": looked at ConfigMap first/ceph-csi-config (has no such entry), first/rook-ceph-csi-config, second/ceph-csi-config, second/rook-ceph-csi-config (has no such entry)`,
			notFound:   true,
		},
		"each namespace is looked at once": {
			namespaces: []string{"first", "second", "first", ""},
			err:        `no ceph-csi configuration for clusterID "a": looked at ConfigMap first/ceph-csi-config, first/rook-ceph-csi-config, second/ceph-csi-config, second/rook-ceph-csi-config`,
			notFound:   true,
		},
		"no monitors": {
			objects:    []runtime.Object{operator("rook-ceph", `[{"clusterID":"a"}]`)},
			namespaces: []string{"rook-ceph"},
			err:        `ConfigMap rook-ceph/ceph-csi-config: the entry of clusterID "a" has no monitors`,
		},
		"no config.json": {
			objects:    []runtime.Object{configMap("rook-ceph", "ceph-csi-config", "cluster-mapping.json", "[]")},
			namespaces: []string{"rook-ceph"},
			err:        `no ceph-csi configuration for clusterID "a": looked at ConfigMap rook-ceph/ceph-csi-config (has no data[config.json]), rook-ceph/rook-ceph-csi-config`,
			notFound:   true,
		},
		"a clusterID that is mapped and has an entry": { // so ceph-csi does
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"a","monitors":["m1"]},{"clusterID":"b","monitors":["m2"]}]`, `[{"clusterIDMapping":{"a":"b"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "b", Monitors: []string{"m2"}, SubvolumeGroup: "csi", Mapped: true},
		},
		"a clusterID that is mapped to one of the same place": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"a","monitors":["m1"]},{"clusterID":"b","monitors":["m1"]}]`, `[{"clusterIDMapping":{"a":"b"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "b", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"a mapping is followed once": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b","monitors":["m2"]},{"clusterID":"c","monitors":["m3"]}]`, `[{"clusterIDMapping":{"a":"b","b":"c"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "b", Monitors: []string{"m2"}, SubvolumeGroup: "csi", Mapped: true},
		},
		"a clusterID that is mapped to two, the first element goes first": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b","monitors":["m2"]},{"clusterID":"c","monitors":["m3"]}]`, `[{"clusterIDMapping":{"c":"a"}},{"clusterIDMapping":{"a":"b"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "c", Monitors: []string{"m3"}, SubvolumeGroup: "csi", Mapped: true},
		},
		"a clusterID that is mapped to two in one element": { // ceph-csi takes any
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b","monitors":["m2"]},{"clusterID":"c","monitors":["m3"]}]`, `[{"clusterIDMapping":{"a":"b","c":"a"}}]`)},
			namespaces: []string{"rook-ceph"},
			err:        `ConfigMap rook-ceph/ceph-csi-config: data[cluster-mapping.json]: ceph-csi's configuration is ambiguous: clusterID "a" is mapped to "b" and to "c", which are not the same`,
			ambiguous:  true,
		},
		"a clusterID that is mapped to two that are the same": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b","monitors":["m2"]},{"clusterID":"c","monitors":["m2"]}]`, `[{"clusterIDMapping":{"a":"b","c":"a"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "b", Monitors: []string{"m2"}, SubvolumeGroup: "csi", Mapped: true},
		},
		"a clusterID that is mapped": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b","monitors":["m2"],"rbd":{"radosNamespace":"north"}}]`, `[{"clusterIDMapping":{"a":"b"},"RBDPoolIDMapping":[{"1":"2"}]}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "b", Monitors: []string{"m2"}, RadosNamespace: "north", SubvolumeGroup: "csi", Mapped: true},
		},
		"a clusterID that others are mapped to, and has an entry": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"a","monitors":["m1"]},{"clusterID":"c","monitors":["m3"]}]`, `[{"clusterIDMapping":{"x":"y"}},{"clusterIDMapping":{"b":"a","c":"a"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "c", Monitors: []string{"m3"}, SubvolumeGroup: "csi", Mapped: true},
		},
		"a clusterID that is mapped to what is not there": {
			objects:    []runtime.Object{mapping("rook-ceph", `[{"clusterID":"b"},{"clusterID":"a","monitors":["m1"]}]`, `[{"clusterIDMapping":{"a":"b"}},{"clusterIDMapping":{"a":"c"}}]`)},
			namespaces: []string{"rook-ceph"},
			want:       csiconfig.Entry{ClusterID: "a", Monitors: []string{"m1"}, SubvolumeGroup: "csi"},
		},
		"a malformed mapping": {
			objects:    []runtime.Object{mapping("rook-ceph", one, `{}`)},
			namespaces: []string{"rook-ceph"},
			err:        `ConfigMap rook-ceph/ceph-csi-config: data[cluster-mapping.json]: parse ceph-csi's cluster-mapping.json: json: cannot unmarshal object into Go value of type []csiconfig.storedMapping`,
		},
		"a malformed config.json": {
			objects:    []runtime.Object{rook("rook-ceph", `[`)},
			namespaces: []string{"rook-ceph"},
			err:        `ConfigMap rook-ceph/rook-ceph-csi-config: data[csi-cluster-config-json]: parse ceph-csi's config.json: unexpected end of JSON input`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			given := slices.Clone(test.namespaces)
			reader := csiconfig.Reader{Client: fake.NewSimpleDynamicClient(scheme.Scheme, test.objects...)}
			got, err := reader.Entry(t.Context(), "a", given...)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if errors.Is(err, csiconfig.ErrNotFound) != test.notFound {
				t.Errorf("errors.Is(%v, ErrNotFound) is %v", err, !test.notFound)
			}
			if errors.Is(err, csiconfig.ErrAmbiguous) != test.ambiguous {
				t.Errorf("errors.Is(%v, ErrAmbiguous) is %v", err, !test.ambiguous)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.namespaces, given); diff != "" {
				t.Errorf("the caller's namespaces changed:\n%s", diff)
			}
		})
	}
}

// TestMappedCephFS: ceph-csi would not find the volume where the mapping leads.
func TestMappedCephFS(t *testing.T) {
	err := csiconfig.Entry{ClusterID: "west", Mapped: true}.ForCephFS("east")
	if want := `ceph-csi maps the clusterIDs of RBD volumes, not those of CephFS: cluster-mapping.json leads clusterID "east" to "west"; use a StorageClass of clusterID "west"`; text(err) != want || !errors.Is(err, csiconfig.ErrMapped) {
		t.Errorf("got %q, want %q", text(err), want)
	}
	if err := (csiconfig.Entry{ClusterID: "west"}).ForCephFS("east"); err != nil {
		t.Errorf("where both are one place: %v", err)
	}
}

// TestForbidden: what the API server refuses is no absence.
func TestForbidden(t *testing.T) {
	client := fake.NewSimpleDynamicClient(scheme.Scheme, rook("rook-ceph", `[{"clusterID":"a","monitors":["m"]}]`))
	client.PrependReactor("get", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		resource := schema.GroupResource{Resource: action.GetResource().Resource}
		return true, nil, apierrors.NewForbidden(resource, action.(clienttesting.GetAction).GetName(), errors.New(`user "dev" cannot get it`))
	})
	reader := csiconfig.Reader{Client: client}

	_, err := reader.Entry(t.Context(), "a", "rook-ceph")
	if want := `read ConfigMap rook-ceph/ceph-csi-config: configmaps "ceph-csi-config" is forbidden: user "dev" cannot get it`; text(err) != want {
		t.Errorf("got %q, want %q", text(err), want)
	}
	if !apierrors.IsForbidden(err) || errors.Is(err, csiconfig.ErrNotFound) {
		t.Errorf("%v is not Forbidden, or is ErrNotFound", err)
	}

	_, err = reader.Credentials(t.Context(), corev1.SecretReference{Namespace: "rook-ceph", Name: "provisioner"})
	if want := `read Secret rook-ceph/provisioner: secrets "provisioner" is forbidden: user "dev" cannot get it`; text(err) != want {
		t.Errorf("got %q, want %q", text(err), want)
	}
	if !apierrors.IsForbidden(err) {
		t.Errorf("%v is not Forbidden", err)
	}
}

func TestCredentials(t *testing.T) {
	const key = "AQBVTk1mAAAAABAAGmR1bW15a2V5Zm9ydGVzdA=="
	tests := map[string]struct {
		data map[string][]byte
		want csiconfig.Credentials
		err  string
	}{
		"as Rook writes it": {
			data: map[string][]byte{"userID": []byte("csi-rbd-provisioner"), "userKey": []byte(key)},
			want: csiconfig.Credentials{User: "csi-rbd-provisioner", Key: key},
		},
		"of the second generation, as Rook rotates keys": {
			data: map[string][]byte{"userID": []byte("csi-rbd-node.2"), "userKey": []byte(key)},
			want: csiconfig.Credentials{User: "csi-rbd-node.2", Key: key},
		},
		"of the second generation, with client.": {
			data: map[string][]byte{"userID": []byte("client.csi-rbd-node.2"), "userKey": []byte(key)},
			want: csiconfig.Credentials{User: "csi-rbd-node.2", Key: key},
		},
		"with client. and line ends, as people write it": {
			data: map[string][]byte{"userID": []byte("client.csi\n"), "userKey": []byte(" " + key + "\n")},
			want: csiconfig.Credentials{User: "csi", Key: key},
		},
		"client. is taken away once": {
			data: map[string][]byte{"userID": []byte("client.client.x"), "userKey": []byte(key)},
			want: csiconfig.Credentials{User: "client.x", Key: key},
		},
		"for CephFS, as Rook wrote it before 1.18": {
			data: map[string][]byte{"adminID": []byte("csi-cephfs-provisioner"), "adminKey": []byte(key)},
			want: csiconfig.Credentials{User: "csi-cephfs-provisioner", Key: key},
		},
		"both": {
			data: map[string][]byte{"adminID": []byte("admin"), "adminKey": []byte("other"), "userID": []byte("csi"), "userKey": []byte(key)},
			want: csiconfig.Credentials{User: "csi", Key: key},
		},
		"an admin without a key": {
			data: map[string][]byte{"adminID": []byte("admin")},
			err:  `read Secret rook-ceph/provisioner: data[adminKey] is missing`,
		},
		"no user": {
			data: map[string][]byte{"userKey": []byte(key)},
			err:  `read Secret rook-ceph/provisioner: data[userID] is missing`,
		},
		"no key": {
			data: map[string][]byte{"userID": []byte("csi"), "adminKey": []byte(key)},
			err:  `read Secret rook-ceph/provisioner: data[userKey] is missing`,
		},
		"a user of white space": {
			data: map[string][]byte{"userID": []byte("\n"), "userKey": []byte(key)},
			err:  `read Secret rook-ceph/provisioner: data[userID] is missing`,
		},
		"an empty key": {
			data: map[string][]byte{"userID": []byte("csi"), "userKey": {}},
			err:  `read Secret rook-ceph/provisioner: data[userKey] is missing`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{
				TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
				ObjectMeta: metav1.ObjectMeta{Namespace: "rook-ceph", Name: "provisioner"},
				Data:       test.data,
			}
			reader := csiconfig.Reader{Client: fake.NewSimpleDynamicClient(scheme.Scheme, secret)}
			got, err := reader.Credentials(t.Context(), corev1.SecretReference{Namespace: "rook-ceph", Name: "provisioner"})
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("credentials (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentialsWithoutTheSecret(t *testing.T) {
	reader := csiconfig.Reader{Client: fake.NewSimpleDynamicClient(scheme.Scheme)}
	_, err := reader.Credentials(t.Context(), corev1.SecretReference{Namespace: "rook-ceph", Name: "provisioner"})
	if want := `read Secret rook-ceph/provisioner: secrets "provisioner" not found`; text(err) != want {
		t.Errorf("got %q, want %q", text(err), want)
	}
}
