package annotations_test

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
)

const supported = `supported values: "cephferry.io/migratable", "cephferry.io/image", "cephferry.io/replicas", "cephferry.io/adopt", "cephferry.io/class", "cephferry.io/size", "cephferry.io/exclusive", "cephferry.io/keyed"`

func TestParse(t *testing.T) {
	number := func(n int) *int { return &n }
	yes := func(b bool) *bool { return &b }
	quantity := func(text string) *resource.Quantity {
		q := resource.MustParse(text)
		return &q
	}
	tests := map[string]struct {
		annotations map[string]string
		place       annotations.Place
		want        annotations.Claim
		errs        []string
	}{
		"nothing": {},
		"annotations of others are passed over": {
			annotations: map[string]string{"helm.sh/hook": "pre-install", "cephferry.iox/image": "X", "x.cephferry.io/image": "X", "cephferry.io": "X"},
		},
		"migratable, with the defaults": {
			annotations: map[string]string{"cephferry.io/migratable": "true"},
			want:        annotations.Claim{Migratable: true},
		},
		"migratable template, with the defaults": {
			annotations: map[string]string{"cephferry.io/migratable": "true"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true},
		},
		"every key on a claim": {
			annotations: map[string]string{
				"cephferry.io/migratable": "true", "cephferry.io/image": "orders.v2-a",
				"cephferry.io/adopt": "true", "cephferry.io/exclusive": "false", "cephferry.io/keyed": "false",
				"cephferry.io/class": "block", "cephferry.io/size": "10Gi",
			},
			want: annotations.Claim{Migratable: true, Image: "orders.v2-a", Adopt: true, Class: "block", Size: quantity("10Gi"), Exclusive: yes(false), Keyed: yes(false)},
		},
		"every key on a template": {
			annotations: map[string]string{
				"cephferry.io/migratable": "true", "cephferry.io/image": "orders", "cephferry.io/replicas": "3",
				"cephferry.io/adopt": "false", "cephferry.io/exclusive": "false", "cephferry.io/keyed": "false",
				"cephferry.io/class": "block", "cephferry.io/size": "10Gi",
			},
			place: annotations.OnTemplate,
			want:  annotations.Claim{Migratable: true, Image: "orders", Replicas: number(3), Class: "block", Size: quantity("10Gi"), Exclusive: yes(false), Keyed: yes(false)},
		},
		"no replicas is a number too": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/replicas": "0"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true, Replicas: number(0)},
		},
		"the largest number of replicas": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/replicas": "2147483647"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true, Replicas: number(2147483647)},
		},
		"not migratable: the other keys have no effect": {
			annotations: map[string]string{"cephferry.io/migratable": "false", "cephferry.io/image": "orders", "cephferry.io/replicas": "3", "cephferry.io/adopt": "true"},
			place:       annotations.OnTemplate,
		},
		"not migratable: the other keys are checked all the same": {
			annotations: map[string]string{"cephferry.io/migratable": "false", "cephferry.io/adopt": "yes"},
			errs:        []string{`at[cephferry.io/adopt]: Invalid value: "yes": must be "true", "false" or the name of an image without a key`},
		},
		"a value of migratable other than true and false": {
			annotations: map[string]string{"cephferry.io/migratable": "True"},
			errs:        []string{`at[cephferry.io/migratable]: Invalid value: "True": must be "true" or "false"`},
		},
		"an empty value of migratable": {
			annotations: map[string]string{"cephferry.io/migratable": ""},
			errs:        []string{`at[cephferry.io/migratable]: Invalid value: "": must be "true" or "false"`},
		},
		"other keys without migratable": {
			annotations: map[string]string{"cephferry.io/image": "orders"},
			errs:        []string{`at[cephferry.io/migratable]: Required value: the other cephferry.io annotations have no effect without it`},
		},
		"a key that does not exist": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/imag": "orders"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/imag]: Unsupported value: "cephferry.io/imag": ` + supported},
		},
		"a key in capital letters": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/Image": "orders"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/Image]: Unsupported value: "cephferry.io/Image": ` + supported},
		},
		"the prefix alone": {
			annotations: map[string]string{"cephferry.io/": ""},
			errs: []string{
				`at[cephferry.io/]: Unsupported value: "cephferry.io/": ` + supported,
				`at[cephferry.io/migratable]: Required value: the other cephferry.io annotations have no effect without it`,
			},
		},
		"replicas on a claim": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/replicas": "3"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/replicas]: Forbidden: only a claim template of a StatefulSet has ordinals`},
		},
		"replicas below zero": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/replicas": "-1"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/replicas]: Invalid value: "-1": must be a whole number, 0 or more`},
		},
		"more replicas than an int32": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/replicas": "2147483648"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/replicas]: Invalid value: "2147483648": must be a whole number, 0 or more`},
		},
		"replicas with a fraction": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/replicas": "1.0"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/replicas]: Invalid value: "1.0": must be a whole number, 0 or more`},
		},
		"adopt an image that gets another name": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "csi-vol-24862838-240d-4215-9183-abfc0e9e4002"},
			want:        annotations.Claim{Migratable: true, Adopt: true, OldName: "csi-vol-24862838-240d-4215-9183-abfc0e9e4002"},
		},
		"adopt an image whose name no claim could have": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "VM_disk.1"},
			want:        annotations.Claim{Migratable: true, Adopt: true, OldName: "VM_disk.1"},
		},
		"adopt an image for the ordinals of a template": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "csi-vol-0aa"},
			place:       annotations.OnTemplate,
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Forbidden: a claim template has an image for each ordinal; make the claim of each ordinal yourself, with this annotation, before the StatefulSet`},
		},
		"adopt what is neither a word nor a name": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": ""},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Invalid value: "": must be "true", "false" or the name of an image without a key`},
		},
		"adopt what is almost a word": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "1"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Invalid value: "1": must be "true", "false" or the name of an image without a key`},
		},
		"adopt, with a capital": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "True"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Invalid value: "True": must be "true", "false" or the name of an image without a key`},
		},
		"adopt a name with its pool": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "replicapool/csi-vol-0aa"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Invalid value: "replicapool/csi-vol-0aa": must be "true", "false" or the name of an image without a key`},
		},
		"adopt a name with a key": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": "shop.data~west"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Invalid value: "shop.data~west": must be "true", "false" or the name of an image without a key`},
		},
		"adopt a name that no image can have": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/adopt": strings.Repeat("a", 97)},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/adopt]: Too long: may not be more than 96 bytes`},
		},
		"a class with dots": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/class": "block.fast"},
			want:        annotations.Claim{Migratable: true, Class: "block.fast"},
		},
		"an empty class": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/class": ""},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/class]: Invalid value: "": must be the name of a StorageClass; leave the annotation out for the default class`},
		},
		"a class that cannot be one": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/class": "rook/block"},
			want:        annotations.Claim{Migratable: true, Class: "rook/block"},
			errs:        []string{`at[cephferry.io/class]: Invalid value: "rook/block": must be the name of a StorageClass; leave the annotation out for the default class`},
		},
		"the largest size": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/size": "1Ei"},
			want:        annotations.Claim{Migratable: true, Size: quantity("1Ei")},
		},
		"no size": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/size": "0"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/size]: Invalid value: "0": must be a quantity such as 10Gi, above 0 and at most 1Ei`},
		},
		"a size below zero": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/size": "-1Gi"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/size]: Invalid value: "-1Gi": must be a quantity such as 10Gi, above 0 and at most 1Ei`},
		},
		"more than an image can have": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/size": "2Ei"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/size]: Invalid value: "2Ei": must be a quantity such as 10Gi, above 0 and at most 1Ei`},
		},
		"a size that is no quantity": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/size": "10GB"},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/size]: Invalid value: "10GB": must be a quantity such as 10Gi, above 0 and at most 1Ei`},
		},
		"a mode, on": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/exclusive": "true"},
			want:        annotations.Claim{Migratable: true, Exclusive: yes(true)},
		},
		"keyed, as new images are": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/keyed": "true"},
			want:        annotations.Claim{Migratable: true, Keyed: yes(true)},
		},
		"a value of keyed other than true and false": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/keyed": "no"},
			want:        annotations.Claim{Migratable: true, Keyed: yes(false)},
			errs:        []string{`at[cephferry.io/keyed]: Invalid value: "no": must be "true" or "false"`},
		},
		"a value of exclusive other than true and false": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/exclusive": "no"},
			want:        annotations.Claim{Migratable: true, Exclusive: yes(false)},
			errs:        []string{`at[cephferry.io/exclusive]: Invalid value: "no": must be "true" or "false"`},
		},
		"the longest image name": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": strings.Repeat("a", 96)},
			want:        annotations.Claim{Migratable: true, Image: strings.Repeat("a", 96)},
		},
		"an image name that is too long": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": strings.Repeat("a", 97)},
			want:        annotations.Claim{Migratable: true, Image: strings.Repeat("a", 97)},
			errs:        []string{`at[cephferry.io/image]: Too long: may not be more than 96 bytes`},
		},
		"an empty image name": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": ""},
			want:        annotations.Claim{Migratable: true},
			errs:        []string{`at[cephferry.io/image]: Invalid value: "": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`},
		},
		"an image name that ends like none": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": "_Orders_2024.v1..A-"},
			want:        annotations.Claim{Migratable: true, Image: "_Orders_2024.v1..A-"},
			errs:        []string{`at[cephferry.io/image]: Invalid value: "_Orders_2024.v1..A-": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`},
		},
		"an image name with capitals": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": "_Orders_2024.v1..A"},
			want:        annotations.Claim{Migratable: true, Image: "_Orders_2024.v1..A"},
		},
		"an image name with a key": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": "Orders~west"},
			want:        annotations.Claim{Migratable: true, Image: "Orders~west"},
			errs:        []string{`at[cephferry.io/image]: Invalid value: "Orders~west": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`},
		},
		"an image name with its pool": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": "replicapool/orders"},
			want:        annotations.Claim{Migratable: true, Image: "replicapool/orders"},
			errs:        []string{`at[cephferry.io/image]: Invalid value: "replicapool/orders": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`},
		},
		"an image name that is long and wrong": {
			annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": strings.Repeat("A", 96) + "."},
			want:        annotations.Claim{Migratable: true, Image: strings.Repeat("A", 96) + "."},
			errs: []string{
				`at[cephferry.io/image]: Too long: may not be more than 96 bytes`,
				`at[cephferry.io/image]: Invalid value: "` + strings.Repeat("A", 96) + `.": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`,
			},
		},
		"all mistakes at once, in the order of the keys": {
			annotations: map[string]string{
				"cephferry.io/replicas": "many", "cephferry.io/adopt": "?", "cephferry.io/exclusive": "?", "cephferry.io/keyed": "?",
				"cephferry.io/image": "?", "cephferry.io/class": "?", "cephferry.io/size": "?", "cephferry.io/a": "", "cephferry.io/z": "",
			},
			place: annotations.OnTemplate,
			errs: []string{
				`at[cephferry.io/a]: Unsupported value: "cephferry.io/a": ` + supported,
				`at[cephferry.io/adopt]: Invalid value: "?": must be "true", "false" or the name of an image without a key`,
				`at[cephferry.io/class]: Invalid value: "?": must be the name of a StorageClass; leave the annotation out for the default class`,
				`at[cephferry.io/exclusive]: Invalid value: "?": must be "true" or "false"`,
				`at[cephferry.io/image]: Invalid value: "?": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`,
				`at[cephferry.io/keyed]: Invalid value: "?": must be "true" or "false"`,
				`at[cephferry.io/migratable]: Required value: the other cephferry.io annotations have no effect without it`,
				`at[cephferry.io/replicas]: Invalid value: "many": must be a whole number, 0 or more`,
				`at[cephferry.io/size]: Invalid value: "?": must be a quantity such as 10Gi, above 0 and at most 1Ei`,
				`at[cephferry.io/z]: Unsupported value: "cephferry.io/z": ` + supported,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, errs := annotations.Parse(test.annotations, test.place, field.NewPath("at"))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			var texts []string
			for _, err := range errs {
				texts = append(texts, err.Error())
			}
			if diff := cmp.Diff(test.errs, texts); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHas(t *testing.T) {
	tests := map[string]struct {
		annotations map[string]string
		want        bool
	}{
		"nothing":                  {nil, false},
		"annotations of others":    {map[string]string{"helm.sh/hook": "", "cephferry.iox/a": "", "a.cephferry.io/b": ""}, false},
		"the domain without slash": {map[string]string{"cephferry.io": ""}, false},
		"one of ours":              {map[string]string{"helm.sh/hook": "", "cephferry.io/adopt": ""}, true},
		"an unknown one of ours":   {map[string]string{"cephferry.io/x": ""}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := annotations.Has(test.annotations); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// source is embedded, because Go's test cache knows an embedded file by its content, and one
// that is opened by its time.
//
//go:embed annotations.go
var source string

// TestKeysAreTheConstants reads the constants from the source, so that none of
// them can be missing in Keys.
func TestKeysAreTheConstants(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "annotations.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(file, func(node ast.Node) bool {
		sum, ok := node.(*ast.BinaryExpr)
		if !ok || sum.Op != token.ADD {
			return true
		}
		left, _ := sum.X.(*ast.Ident)
		right, _ := sum.Y.(*ast.BasicLit)
		if left == nil || left.Name != "Prefix" || right == nil {
			return true
		}
		name, err := strconv.Unquote(right.Value)
		if err != nil {
			t.Fatal(err)
		}
		constants = append(constants, annotations.Prefix+name)
		return true
	})
	var keys []string
	for _, key := range annotations.Keys() {
		keys = append(keys, key.Name)
		if key.Values == "" {
			t.Errorf("%s: no values are described", key.Name)
		}
	}
	if diff := cmp.Diff(constants, keys); diff != "" {
		t.Errorf("-constants +keys:\n%s", diff)
	}
}
