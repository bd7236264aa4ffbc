package provisioner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

func TestMayUse(t *testing.T) {
	type answer struct {
		May   bool
		Error string
	}
	yes, no := answer{May: true}, answer{}
	tests := map[string]struct {
		namespace, grants, image string
		want                     answer
	}{
		"the own name":                                  {"shop", "", "shop.data", yes},
		"the own name, with more dots":                  {"shop", "", "shop.data.old", yes},
		"another namespace":                             {"shop", "", "bank.data", no},
		"a namespace that begins alike":                 {"shop", "", "shop-b.data", no},
		"a namespace that begins alike, without a dash": {"shop", "", "shopx.data", no},
		"a namespace that this one begins with":         {"shop-b", "", "shop.data", no},
		"the namespace and no dot":                      {"shop", "", "shop", no},
		"the namespace behind something":                {"shop", "", "x.shop.data", no},
		"upper case":                                    {"shop", "", "SHOP.data", no},
		"a volume of ceph-csi":                          {"shop", "", "csi-vol-0aa", no},
		"no name":                                       {"shop", "", "", no},

		"granted by name":                              {"shop", "csi-vol-0aa", "csi-vol-0aa", yes},
		"granted by name, not further":                 {"shop", "csi-vol-0aa", "csi-vol-0aab", no},
		"granted by pattern":                           {"shop", "shared.*", "shared.logs.old", yes},
		"granted among others":                         {"shop", "csi-vol-0aa, shared.*", "shared.logs", yes},
		"not among those granted":                      {"shop", "csi-vol-0aa, shared.*", "sharedx", no},
		"granted with a wild end":                      {"shop", "csi-vol-*", "csi-vol-", yes},
		"an empty grant":                               {"shop", ", ,", "", no},
		"a pattern nobody can read, beside a good one": {"shop", "[, shared.*", "shared.logs", yes},
		"a pattern nobody can read": {"shop", "[", "shared.logs",
			answer{Error: `namespace shop: metadata.annotations[cephferry.io/images]: "[": syntax error in pattern`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: test.namespace, Annotations: map[string]string{Images: test.grants}}}
			var got answer
			var err error
			if got.May, err = mayUse(namespace, test.image); err != nil {
				got.Error = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNamesStayInTheirNamespace: whatever a claim is called, its image's name, also
// a shortened one, begins with the namespace and a dot.
func TestNamesStayInTheirNamespace(t *testing.T) {
	long := func(n int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = 'a'
		}
		return string(text)
	}
	for _, namespace := range []string{"a", "shop", long(63)} {
		for _, claim := range []string{"a", "a.b", "a-0", long(31), long(78), long(253)} {
			image := staticpv.ImageName(namespace, claim)
			if may, err := mayUse(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, image); !may || err != nil {
				t.Errorf("%s/%s: image %s: %t, %v", namespace, claim, image, may, err)
			}
		}
	}
}
