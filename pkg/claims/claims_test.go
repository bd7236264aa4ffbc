package claims_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/claims"
)

func claim(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("8Gi")}},
	}}
	if change != nil {
		change(c)
	}
	return c
}

func fields(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Field)
	}
	return all
}

func TestRefuse(t *testing.T) {
	name := "x"
	tests := map[string]struct {
		change func(*corev1.PersistentVolumeClaim)
		path   *field.Path
		want   []string
	}{
		"a usual claim": {},
		"a hook": {
			change: func(c *corev1.PersistentVolumeClaim) {
				c.Annotations = map[string]string{"helm.sh/hook": "pre-install"}
			},
			want: []string{"metadata.annotations[helm.sh/hook]"},
		},
		"sources, a selector and an attributes class": {
			change: func(c *corev1.PersistentVolumeClaim) {
				c.Spec.DataSource = &corev1.TypedLocalObjectReference{}
				c.Spec.DataSourceRef = &corev1.TypedObjectReference{}
				c.Spec.Selector = &metav1.LabelSelector{}
				c.Spec.VolumeAttributesClassName = &name
			},
			want: []string{"spec.dataSource", "spec.dataSourceRef", "spec.selector", "spec.volumeAttributesClassName"},
		},
		"an attributes class that is empty is none": {
			change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = new(string) },
		},
		"an access mode and a volume mode that do not exist": {
			change: func(c *corev1.PersistentVolumeClaim) {
				mode := corev1.PersistentVolumeMode("filesystem")
				c.Spec.AccessModes, c.Spec.VolumeMode = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, "RWO"}, &mode
			},
			want: []string{"spec.accessModes[1]", "spec.volumeMode"},
		},
		"one pod beside others": {
			change: func(c *corev1.PersistentVolumeClaim) {
				c.Spec.AccessModes = append(c.Spec.AccessModes, corev1.ReadWriteOncePod)
			},
			want: []string{"spec.accessModes"},
		},
		"neither modes nor a size, in a template": {
			change: func(c *corev1.PersistentVolumeClaim) { c.Spec = corev1.PersistentVolumeClaimSpec{} },
			path:   field.NewPath("spec", "volumeClaimTemplates").Index(1),
			want:   []string{"spec.volumeClaimTemplates[1].spec.accessModes", "spec.volumeClaimTemplates[1].spec.resources.requests[storage]"},
		},
		"more than an image can have": {
			change: func(c *corev1.PersistentVolumeClaim) {
				c.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Ei")
			},
			want: []string{"spec.resources.requests[storage]"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, fields(claims.Refuse(claim(test.change), test.path))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRefuseOnRBD(t *testing.T) {
	block := corev1.PersistentVolumeBlock
	many := func(c *corev1.PersistentVolumeClaim) {
		c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}
	tests := map[string]struct {
		change func(*corev1.PersistentVolumeClaim)
		want   []string
	}{
		"one writer":                    {nil, nil},
		"many writers of a file system": {many, []string{"spec.accessModes"}},
		"many writers of a device": {func(c *corev1.PersistentVolumeClaim) {
			many(c)
			c.Spec.VolumeMode = &block
		}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, fields(claims.RefuseOnRBD(claim(test.change), "block", nil))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRefuseOnCephFS(t *testing.T) {
	block, filesystem := corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem
	for name, test := range map[string]struct {
		mode *corev1.PersistentVolumeMode
		want []string
	}{
		"a file system, by default": {nil, nil},
		"a file system":             {&filesystem, nil},
		"a device":                  {&block, []string{"spec.volumeMode"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = test.mode })
			if diff := cmp.Diff(test.want, fields(claims.RefuseOnCephFS(c, "shared", nil))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSingleWriter(t *testing.T) {
	const once, oncePod, many, read = corev1.ReadWriteOnce, corev1.ReadWriteOncePod, corev1.ReadWriteMany, corev1.ReadOnlyMany
	type modes = []corev1.PersistentVolumeAccessMode
	for name, test := range map[string]struct {
		modes modes
		want  bool
	}{
		"one node":              {modes{once}, true},
		"one pod":               {modes{oncePod}, true},
		"one node, or readers":  {modes{read, once}, true},
		"many nodes":            {modes{many}, false},
		"one node or many":      {modes{once, many}, false},
		"readers write nothing": {modes{read}, false},
		"none":                  {nil, false},
	} {
		if got := claims.SingleWriter(test.modes); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestClass(t *testing.T) {
	block, none := "block", ""
	tests := map[string]struct {
		annotations map[string]string
		class, want *string
		path        string
	}{
		"the default":           {nil, nil, nil, "spec.storageClassName"},
		"named":                 {nil, &block, &block, "spec.storageClassName"},
		"none":                  {nil, &none, &none, "spec.storageClassName"},
		"by the old annotation": {map[string]string{corev1.BetaStorageClassAnnotation: "block"}, &none, &block, "metadata.annotations[volume.beta.kubernetes.io/storage-class]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := claim(func(c *corev1.PersistentVolumeClaim) {
				c.Annotations, c.Spec.StorageClassName = test.annotations, test.class
			})
			if diff := cmp.Diff(test.want, claims.ClassName(c)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := claims.ClassPath(c, nil).String(); got != test.path {
				t.Errorf("got path %s; want %s", got, test.path)
			}
		})
	}
}
