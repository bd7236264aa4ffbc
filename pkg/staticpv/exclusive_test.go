package staticpv_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestMappingOf(t *testing.T) {
	yes, no := true, false
	on, off := annotations.Claim{Exclusive: &yes}, annotations.Claim{Exclusive: &no}
	rbd := func(parameters ...string) storageclass.Class {
		class := storageclass.Class{Name: "block", RBD: &storageclass.RBD{}, Attributes: map[string]string{}}
		for i := 0; i < len(parameters); i += 2 {
			class.Attributes[parameters[i]] = parameters[i+1]
		}
		return class
	}
	cephFS := storageclass.Class{Name: "files", CephFS: &storageclass.CephFS{}}
	const (
		once, oncePod  = corev1.ReadWriteOnce, corev1.ReadWriteOncePod
		readers, write = corev1.ReadOnlyMany, corev1.ReadWriteMany
		annotation     = `template.metadata.annotations[cephferry.io/exclusive]: Invalid value: `
	)
	type modes = []corev1.PersistentVolumeAccessMode
	exclusive, shared, ifNew := staticpv.Mapping{Exclusive: &yes}, staticpv.Mapping{Exclusive: &no}, staticpv.Mapping{NewExclusive: true}

	for name, test := range map[string]struct {
		asked annotations.Claim
		modes modes
		block bool
		class storageclass.Class
		want  staticpv.Mapping
		err   string
	}{
		"one writer":                         {modes: modes{once}, class: rbd(), want: ifNew},
		"one pod":                            {modes: modes{oncePod}, class: rbd("mounter", "rbd"), want: ifNew},
		"one writer, no other mounter":       {modes: modes{once}, class: rbd("tryOtherMounters", "false"), want: ifNew},
		"one writer of a block device":       {modes: modes{once}, block: true, class: rbd()},
		"readers beside the writer":          {modes: modes{once, readers}, class: rbd(), want: shared},
		"readers":                            {modes: modes{readers}, class: rbd(), want: shared},
		"several writers":                    {modes: modes{write}, block: true, class: rbd(), want: shared},
		"rbd-nbd":                            {modes: modes{once}, class: rbd("mounter", "rbd-nbd"), want: shared},
		"rbd-nbd as well":                    {modes: modes{once}, class: rbd("tryOtherMounters", "true"), want: shared},
		"perhaps rbd-nbd":                    {modes: modes{once}, class: rbd("tryOtherMounters", "maybe"), want: shared},
		"CephFS":                             {modes: modes{once}, class: cephFS, want: shared},
		"asked for":                          {asked: on, modes: modes{once}, class: rbd(), want: exclusive},
		"asked for, block":                   {asked: on, modes: modes{once}, block: true, class: rbd(), want: exclusive},
		"asked not to":                       {asked: off, modes: modes{once}, class: rbd(), want: shared},
		"asked not to, CephFS":               {asked: off, modes: modes{write}, class: cephFS, want: shared},
		"in the class":                       {modes: modes{once}, class: rbd("mapOptions", "krbd:exclusive"), want: exclusive},
		"in the class, block":                {modes: modes{once}, block: true, class: rbd("mapOptions", "exclusive"), want: exclusive},
		"in the class, and asked for":        {asked: on, modes: modes{once}, class: rbd("mapOptions", "exclusive"), want: exclusive},
		"in the class for another mounter":   {modes: modes{once}, class: rbd("mapOptions", "nbd:exclusive"), want: ifNew},
		"in a class of rbd-nbd":              {modes: modes{once}, class: rbd("mapOptions", "krbd:exclusive", "mounter", "rbd-nbd"), want: shared},
		"asked for by several writers":       {asked: on, modes: modes{write}, block: true, class: rbd(), err: annotation + `"true": a device that is mapped with krbd's option exclusive has one node, and the access modes are ReadWriteMany`},
		"asked for with readers":             {asked: on, modes: modes{once, readers}, class: rbd(), err: annotation + `"true": a device that is mapped with krbd's option exclusive has one node, and the access modes are ReadWriteOnce,ReadOnlyMany`},
		"asked for on CephFS":                {asked: on, modes: modes{once}, class: cephFS, err: annotation + `"true": class "files" is a CephFS class, whose volumes are mounted and not mapped`},
		"asked for of rbd-nbd":               {asked: on, modes: modes{once}, class: rbd("mounter", "rbd-nbd"), err: annotation + `"true": class "block" may map by another program than krbd, see its parameters mounter and tryOtherMounters`},
		"asked not to, and in the class":     {asked: off, modes: modes{once}, class: rbd("mapOptions", "exclusive"), err: annotation + `"false": the mapOptions of class "block" have exclusive; use another class`},
		"in the class, and several writers":  {modes: modes{write}, block: true, class: rbd("mapOptions", "exclusive"), err: `template.spec.accessModes: Invalid value: "ReadWriteMany": the mapOptions of class "block" have exclusive, and such a device has one node; use another class`},
		"in the class, asked for by several": {asked: on, modes: modes{write}, block: true, class: rbd("mapOptions", "exclusive"), err: annotation + `"true": a device that is mapped with krbd's option exclusive has one node, and the access modes are ReadWriteMany`},
	} {
		t.Run(name, func(t *testing.T) {
			claim := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{AccessModes: test.modes}}
			if block := corev1.PersistentVolumeBlock; test.block {
				claim.Spec.VolumeMode = &block
			}
			got, errs := staticpv.MappingOf(claim, test.asked, test.class, field.NewPath("template"))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var text string
			if err := errs.ToAggregate(); err != nil {
				text = err.Error()
			}
			if text != test.err {
				t.Errorf("got error  %s\nwant error %s", text, test.err)
			}
		})
	}
}

func TestMapOptions(t *testing.T) {
	for name, test := range map[string]struct{ class, want string }{
		"none":                             {"", "exclusive"},
		"blank":                            {" ", "exclusive"},
		"some of krbd":                     {"lock_on_read,queue_depth=1024", "lock_on_read,queue_depth=1024,exclusive"},
		"exclusive already":                {"lock_on_read, exclusive", "lock_on_read, exclusive"},
		"a longer word":                    {"exclusives", "exclusives,exclusive"},
		"some of krbd by name":             {"krbd:lock_on_read", "krbd:lock_on_read,exclusive"},
		"none of krbd by name":             {"krbd:", "krbd:exclusive"},
		"of both":                          {"krbd:a,b;nbd:c", "krbd:a,b,exclusive;nbd:c"},
		"of both, the other way round":     {"nbd:c; krbd:a", "nbd:c; krbd:a,exclusive"},
		"of both, exclusive already":       {"nbd:c;krbd:exclusive,a", "nbd:c;krbd:exclusive,a"},
		"of both, for the other":           {"krbd:a;nbd:exclusive", "krbd:a,exclusive;nbd:exclusive"},
		"of the other":                     {"nbd:try-netlink", "nbd:try-netlink;krbd:exclusive"},
		"of the other, with its semicolon": {"nbd:try-netlink;", "nbd:try-netlink;krbd:exclusive"},
		"a value with a colon":             {"krbd:crush_location=zone:a", "krbd:crush_location=zone:a,exclusive"},
		"krbd twice: the last counts":      {"krbd:exclusive;a", "krbd:exclusive;a,exclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			class := storageclass.Class{Driver: "rbd.csi.ceph.com", RBD: &storageclass.RBD{}, Attributes: map[string]string{}}
			if test.class != "" {
				class.Attributes["mapOptions"] = test.class
			}
			for _, exclusive := range []bool{true, false} {
				want := test.want
				if !exclusive {
					want = test.class
				}
				pv := staticpv.Plan{Class: class}.PV(staticpv.Made{Exclusive: exclusive})
				if got := pv.Spec.CSI.VolumeAttributes["mapOptions"]; got != want {
					t.Errorf("exclusive %t: got %q, want %q", exclusive, got, want)
				}
				if exclusive && !staticpv.IsExclusive(pv) {
					t.Error("the volume is not exclusive")
				}
				if class.Attributes["mapOptions"] != test.class {
					t.Error("the class has changed")
				}
			}
		})
	}
}

// TestPrivate: noshare goes where exclusive goes, after it.
func TestPrivate(t *testing.T) {
	for name, test := range map[string]struct {
		class     string
		exclusive bool
		want      string
	}{
		"none":                           {"", false, "noshare"},
		"exclusive":                      {"", true, "exclusive,noshare"},
		"some of krbd":                   {"lock_on_read", false, "lock_on_read,noshare"},
		"some of krbd, exclusive":        {"lock_on_read", true, "lock_on_read,exclusive,noshare"},
		"private already":                {"noshare, lock_on_read", false, "noshare, lock_on_read"},
		"a longer word":                  {"noshares", false, "noshares,noshare"},
		"none of krbd by name":           {"krbd:", true, "krbd:exclusive,noshare"},
		"of both":                        {"krbd:a,b;nbd:c", true, "krbd:a,b,exclusive,noshare;nbd:c"},
		"of the other":                   {"nbd:try-netlink", false, "nbd:try-netlink;krbd:noshare"},
		"of the other, and exclusive":    {"nbd:try-netlink", true, "nbd:try-netlink;krbd:exclusive,noshare"},
		"of both, private for the other": {"krbd:a;nbd:noshare", false, "krbd:a,noshare;nbd:noshare"},
	} {
		t.Run(name, func(t *testing.T) {
			class := storageclass.Class{Driver: "rbd.csi.ceph.com", RBD: &storageclass.RBD{}, Attributes: map[string]string{}}
			if test.class != "" {
				class.Attributes["mapOptions"] = test.class
			}
			pv := staticpv.Plan{Class: class}.PV(staticpv.Made{Exclusive: test.exclusive, Private: true})
			if got := pv.Spec.CSI.VolumeAttributes["mapOptions"]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := staticpv.IsExclusive(pv); got != test.exclusive {
				t.Errorf("it is exclusive: %v", got)
			}
		})
	}
}

// TestSetPrivate: a volume that is there gets the option where a new one has it, and is told
// from those that another program than krbd may map.
func TestSetPrivate(t *testing.T) {
	const rbd = "rook-ceph.rbd.csi.ceph.com"
	for name, test := range map[string]struct {
		driver     string
		attributes map[string]string
		krbd       bool
		want       string
	}{
		"by default":                   {rbd, map[string]string{}, true, "noshare"},
		"krbd by name":                 {rbd, map[string]string{"mounter": "rbd", "mapOptions": "exclusive"}, true, "exclusive,noshare"},
		"no other mounter":             {rbd, map[string]string{"tryOtherMounters": "false"}, true, "noshare"},
		"private already":              {rbd, map[string]string{"mapOptions": "krbd:noshare;nbd:a"}, true, "krbd:noshare;nbd:a"},
		"rbd-nbd":                      {rbd, map[string]string{"mounter": "rbd-nbd", "mapOptions": "nbd:a"}, false, "nbd:a;krbd:noshare"},
		"rbd-nbd as well":              {rbd, map[string]string{"tryOtherMounters": "true"}, false, "noshare"},
		"perhaps rbd-nbd":              {rbd, map[string]string{"tryOtherMounters": "maybe"}, false, "noshare"},
		"a driver that maps something": {"disk.example", map[string]string{}, false, "noshare"},
	} {
		t.Run(name, func(t *testing.T) {
			pv := &corev1.PersistentVolume{}
			if staticpv.MapsByKRBD(pv) {
				t.Error("krbd maps a volume without a driver")
			}
			pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: test.driver, VolumeAttributes: test.attributes}
			if got := staticpv.MapsByKRBD(pv); got != test.krbd {
				t.Errorf("krbd maps it: %t", got)
			}
			if staticpv.SetPrivate(pv); test.attributes["mapOptions"] != test.want {
				t.Errorf("got %q, want %q", test.attributes["mapOptions"], test.want)
			}
		})
	}
}

func TestIsExclusive(t *testing.T) {
	for name, test := range map[string]struct {
		driver, options string
		want            bool
	}{
		"an RBD volume":            {"rook-ceph.rbd.csi.ceph.com", "exclusive", true},
		"an RBD volume by default": {"rook-ceph.rbd.csi.ceph.com", "", false},
		"another mounter's option": {"rook-ceph.rbd.csi.ceph.com", "nbd:exclusive", false},
		"a volume of others":       {"disk.example", "exclusive", false},
	} {
		t.Run(name, func(t *testing.T) {
			pv := &corev1.PersistentVolume{}
			if staticpv.IsExclusive(pv) {
				t.Error("a volume without a driver is")
			}
			pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: test.driver, VolumeAttributes: map[string]string{"mapOptions": test.options}}
			if got := staticpv.IsExclusive(pv); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
