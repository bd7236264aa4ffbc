package annotations_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
)

func TestNearMisses(t *testing.T) {
	for key, want := range map[string]bool{
		`cephferry`:                 true, // --set annotations.cephferry.io/migratable=true
		`cephferry\`:                true, // the same with two backslashes
		`cephferry\.io/migratable`:  true,
		`cephferry.io\/migratable`:  true,
		`"cephferry.io/migratable"`: true,
		`'cephferry`:                true,
		` cephferry.io/migratable`:  true,
		`Cephferry.io/migratable`:   true,
		`CEPHFERRY.IO/MIGRATABLE`:   true,
		`CephFerry.io/class`:        true,
		`cephferry.io`:              true,
		`cephferry.io.migratable`:   true,
		`cephferry/migratable`:      true,
		`cephferry/image`:           true,
		`ceph-ferry.io/migratable`:  true,
		`ceph_ferry.io/image`:       true,
		`cephferry.com/migratable`:  true,
		`cephferry-io/migratable`:   true,
		`cephferry.migratable`:      true,

		annotations.Migratable:        false,
		annotations.Replicas:          false,
		`cephferry.io/unknown`:        false, // Parse refuses it
		`a.cephferry.io/b`:            false,
		`cephferry.example.com/team`:  false,
		`cephferry-note`:              false,
		`cephferryman.example.com/io`: false,
		`example.com/cephferry`:       false,
		`example.com/migratable`:      false,
		`helm.sh/resource-policy`:     false,
		`ceph.io/migratable`:          false,
		``:                            false,
	} {
		t.Run(key, func(t *testing.T) {
			errs := annotations.NearMisses(nil, map[string]string{key: "true"}, field.NewPath("metadata"))
			if got := len(errs) > 0; got != want {
				t.Errorf("got %v, want %v: %v", got, want, errs)
			}
		})
	}
}

func TestNearMissesSayWhatToWrite(t *testing.T) {
	const write = `is not a key of cephferry; write cephferry.io/migratable: "true"; with helm's --set, escape the dot: 'cephferry\.io/migratable'`
	const label = "has no effect as a label; write it as an annotation"
	tests := map[string]struct {
		labels, annotations map[string]string
		want                []string
	}{
		"nothing": {},
		"keys of ours among the annotations, and of others everywhere": {
			labels:      map[string]string{"app": "db", "app.kubernetes.io/part-of": "cephferry.io"},
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/x": "", "helm.sh/hook": ""},
		},
		"the dot was not escaped": {
			annotations: map[string]string{"cephferry": "map[io/migratable:true]"},
			want:        []string{`metadata.annotations[cephferry]: Invalid value: "map[io/migratable:true]": ` + write},
		},
		"ours among the labels": {
			labels: map[string]string{"cephferry.io/migratable": "true"},
			want:   []string{"metadata.labels[cephferry.io/migratable]: Forbidden: " + label},
		},
		"all of them, annotations first, in the order of the keys": {
			labels:      map[string]string{"cephferry.io/x": "", "cephferry": ""},
			annotations: map[string]string{"cephferry/b": "1", `cephferry\.io/a`: "2"},
			want: []string{
				`metadata.annotations[cephferry/b]: Invalid value: "1": ` + write,
				`metadata.annotations[cephferry\.io/a]: Invalid value: "2": ` + write,
				"metadata.labels[cephferry]: Forbidden: " + label,
				"metadata.labels[cephferry.io/x]: Forbidden: " + label,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, err := range annotations.NearMisses(test.labels, test.annotations, field.NewPath("metadata")) {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
