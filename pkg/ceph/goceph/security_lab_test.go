//go:build lab && cgo

package goceph

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

const securityDocument = "../../../docs/security.md"

// person is a user of the document, connected with nothing but its key.
type person struct {
	*connection
	// home is the rados namespace that it is for, away another one.
	home, away string
}

// try is one attempt at an action; every one of an action must have the same
// result.
type try func() error

// tries are the actions of the document's tables. Each gets an image with data
// and a record in the person's home, of its own.
var tries = map[string]func(t *testing.T, h *harness, p person, image ceph.Image) []try{
	"list the watchers of an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { return p.sees(t, h, image.ImageSpec) }}
	},
	"wait until the blocklist is in force for it": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { return p.Barrier(t.Context(), image.ImageSpec) }}
	},
	"look at its size and features": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { _, err := p.Image(t.Context(), image.ImageSpec); return err }}
	},
	"list the names of images": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		// `rbd ls` asks for more than this, and shows no more.
		return []try{func() error {
			_, err := p.ioctx(t, image.ImageSpec).GetOmapValues(directoryObject, "", "name_", 10)
			return err
		}}
	},
	"see which names lead to an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			names, err := p.ImageNames(t.Context(), image)
			if err == nil && !slices.Equal(names, []string{image.Name}) {
				t.Errorf("names are %q", names)
			}
			return err
		}}
	},
	"rename an image, also after a rename that died": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		h.HalfRenameImage(t, image, image.Name+"~west", false)
		return []try{
			func() error { _, err := p.RenameImage(t.Context(), image, image.Name, image.Name+"~west"); return err },
			func() error { _, err := p.RenameImage(t.Context(), image, image.Name+"~east"); return err },
		}
	},
	"rename an image whose holder was fenced": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		holder, _ := h.MapImage(t, image.ImageSpec)
		must(t, h.connect(t).Blocklist(t.Context(), []string{holder.Addr}, time.Hour))
		return []try{func() error { _, err := p.RenameImage(t.Context(), image, image.Name+"~east"); return err }}
	},
	"list the rados namespaces of the pool": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { _, err := p.Namespaces(t.Context(), image.Pool); return err }}
	},
	"read an image's record": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { _, err := p.Record(t.Context(), image); return err }}
	},
	"find the records of all images": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { _, err := p.Records(t.Context(), image.Pool, image.Namespace); return err }}
	},
	"find the registrations of all clusters": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			_, err := h.connect(t).PutRegistration(t.Context(), image.Pool, image.Namespace, ceph.Registration{Party: ceph.Party{UID: image.ID}})
			must(t, err)
			all, err := p.Registrations(t.Context(), image.Pool, image.Namespace)
			if err == nil && !slices.ContainsFunc(all, func(of ceph.RegistrationOf) bool { return of.UID == image.ID && of.Err == nil }) {
				t.Errorf("found %+v", all)
			}
			return err
		}}
	},
	"write a cluster's registration": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			first, err := p.PutRegistration(t.Context(), image.Pool, image.Namespace, ceph.Registration{Party: ceph.Party{UID: image.ID}})
			if err != nil {
				return err
			}
			_, err = p.PutRegistration(t.Context(), image.Pool, image.Namespace, first)
			return err
		}}
	},
	"find the keys of all clusters": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { _, err := p.Keys(t.Context(), image.Pool, image.Namespace); return err }}
	},
	"claim a key for a cluster": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		claim := func() error {
			key, err := p.ClaimKey(t.Context(), image.Pool, image.Namespace, ceph.Party{UID: image.ID, Name: image.Name})
			if err == nil && key != image.Name {
				t.Errorf("its key is %q", key)
			}
			return err
		}
		return []try{claim, claim}
	},
	"find a keyed image by another cluster's name": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		admin := h.connect(t)
		_, err := admin.ClaimKey(t.Context(), image.Pool, image.Namespace, ceph.Party{UID: "uid-west", Name: "west"})
		must(t, err)
		_, err = admin.RenameImage(t.Context(), image, image.Name+"~west")
		must(t, err)
		spec := image.ImageSpec
		spec.Key = "east"
		return []try{
			func() error { _, err := p.Image(t.Context(), spec); return err },
			func() error { _, err := p.Watchers(t.Context(), spec); return err },
			func() error { return p.Barrier(t.Context(), spec) },
		}
	},
	"see who has the lock of an image, and whether it answers": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		holder, unmap := h.MapImage(t, image.ImageSpec)
		t.Cleanup(unmap)
		return []try{func() error {
			locked, err := p.LockHolder(t.Context(), image.ImageSpec)
			if err == nil && (locked == nil || locked.Addr != holder.Addr || !locked.Answers) {
				t.Errorf("got %+v; want %s, which answers", locked, holder.Addr)
			}
			return err
		}}
	},
	"create an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.creates(t, image.ImageSpec)
	},
	"grow an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return append(growBehindItsBack(t, p, image),
			func() error { return p.GrowImage(t.Context(), image.ImageSpec, 9<<20) })
	},
	"grow an image behind its back": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return growBehindItsBack(t, p, image)
	},
	"write an image's record": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		ioctx := p.ioctx(t, image.ImageSpec)
		return []try{
			func() error {
				record, err := h.connect(t).Record(t.Context(), image)
				must(t, err)
				_, err = p.PutRecord(t.Context(), image, record)
				return err
			},
			func() error { return ioctx.Delete(ceph.RecordObject(image.ID)) },
			func() error { _, err := p.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1}); return err },
		}
	},
	"read the data of a volume": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			_, err := p.ioctx(t, image.ImageSpec).Read(dataObject(image), make([]byte, 512), 0)
			return err
		}}
	},
	"write the data of a volume": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		ioctx := p.ioctx(t, image.ImageSpec)
		return []try{
			func() error { return ioctx.Write(dataObject(image), []byte("other"), 0) },
			func() error { return ioctx.Truncate(dataObject(image), 0) },
			func() error { return ioctx.Delete(dataObject(image)) },
		}
	},
	"remove an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		ioctx := p.ioctx(t, image.ImageSpec)
		return []try{
			func() error { return rbd.RemoveImage(ioctx, image.Name) },
			func() error { return ioctx.WriteFull(idObject(image.Name), encodeString("other")) },
			func() error { return ioctx.Delete(idObject(image.Name)) },
			func() error { return ioctx.WriteFull(headerObject(image.ID), []byte("other")) },
			func() error { return ioctx.Delete(headerObject(image.ID)) },
		}
	},
	"become a watcher of an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			watcher, err := p.ioctx(t, image.ImageSpec).Watch(headerObject(image.ID))
			if err != nil {
				return err
			}
			return watcher.Delete()
		}}
	},
	"lock an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			result, err := p.ioctx(t, image.ImageSpec).LockExclusive(headerObject(image.ID), "rbd_lock", "cookie", "", 0, nil)
			if err == nil && result != 0 {
				t.Errorf("lock: %d", result)
			}
			return err
		}}
	},
	"set the metadata of an image": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error {
			opened, err := rbd.OpenImage(p.ioctx(t, image.ImageSpec), image.Name, rbd.NoSnapshot)
			if err != nil {
				return err
			}
			return errors.Join(opened.SetMetadata("key", "value"), opened.Close())
		}}
	},
	"list the watchers in another rados namespace": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		image.Namespace = p.away
		h.volume(t, image.ImageSpec)
		return []try{func() error { return p.sees(t, h, image.ImageSpec) }}
	},
	"create an image in another rados namespace": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		image.Namespace = p.away
		return p.creates(t, image.ImageSpec)
	},
	"list the watchers in another pool": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		image.Pool, image.Namespace = lab.OtherPool, ""
		h.volume(t, image.ImageSpec)
		return []try{func() error { return p.sees(t, h, image.ImageSpec) }}
	},
	"create an image in another pool": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		image.Pool, image.Namespace = lab.OtherPool, ""
		return p.creates(t, image.ImageSpec)
	},
	"see the state of the cluster, and the blocklist": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t, `{"prefix":"status"}`, `{"prefix":"osd dump"}`, `{"prefix":"osd blocklist ls"}`)
	},
	"ask for that right": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return []try{func() error { return p.MayFence(t.Context()) }}
	},
	"put one client on the blocklist": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t,
			`{"prefix":"osd blocklist","blocklistop":"add","addr":"192.0.2.1:0/7"}`,
			`{"prefix":"osd blocklist","blocklistop":"add","addr":"192.0.2.1:0/7","expire":60.5}`)
	},
	"the same by the command's old name, `osd blacklist`": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t, `{"prefix":"osd blacklist","blacklistop":"add","addr":"192.0.2.1:0/7"}`)
	},
	"put a machine on the blocklist": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t,
			`{"prefix":"osd blocklist","blocklistop":"add","addr":"192.0.2.1"}`,
			`{"prefix":"osd blocklist","blocklistop":"add","addr":"192.0.2.1:0/0"}`)
	},
	"put a network on the blocklist": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t, `{"prefix":"osd blocklist","range":"range","blocklistop":"add","addr":"192.0.2.0/24"}`)
	},
	"take something off the blocklist": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t,
			`{"prefix":"osd blocklist","blocklistop":"rm","addr":"192.0.2.1:0/7"}`,
			`{"prefix":"osd blocklist","range":"range","blocklistop":"rm","addr":"192.0.2.0/24"}`)
	},
	"clear the blocklist": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t, `{"prefix":"osd blocklist clear"}`)
	},
	"read keys and other secrets": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t,
			`{"prefix":"auth get","entity":"client.admin"}`,
			`{"prefix":"auth ls"}`,
			`{"prefix":"config-key ls"}`,
			`{"prefix":"config-key get","key":"x"}`)
	},
	"change users, settings or pools": func(t *testing.T, h *harness, p person, image ceph.Image) []try {
		return p.commands(t,
			`{"prefix":"auth get-or-create","entity":"client.more","caps":["mon","allow *"]}`,
			`{"prefix":"auth caps","entity":"client.cephferry-observer","caps":["mon","allow *"]}`,
			`{"prefix":"config set","who":"client","name":"rbd_cache","value":"false"}`,
			`{"prefix":"osd pool create","pool":"more"}`,
			`{"prefix":"osd pool set-quota","pool":"replicapool","field":"max_bytes","val":"1"}`,
			`{"prefix":"osd pool delete","pool":"otherpool","pool2":"otherpool","yes_i_really_really_mean_it":true}`,
			`{"prefix":"osd set","key":"pause"}`,
			`{"prefix":"osd down","ids":["0"]}`)
	},
}

func growBehindItsBack(t *testing.T, p person, image ceph.Image) []try {
	return []try{func() error {
		op := rados.CreateWriteOp()
		defer op.Release()
		op.Exec("rbd", "set_size", binary.LittleEndian.AppendUint64(nil, 8<<20))
		return op.Operate(p.ioctx(t, image.ImageSpec), headerObject(image.ID), rados.OperationNoFlag)
	}}
}

// sees checks that the person is told of a watcher that there is, where it is
// told anything.
func (p person) sees(t *testing.T, h *harness, spec ceph.ImageSpec) error {
	t.Helper()
	watcher, stop := h.Watch(t, spec)
	defer stop()
	watchers, err := p.Watchers(t.Context(), spec)
	if err == nil && !slices.Equal(watchers, []ceph.Watcher{watcher}) {
		t.Errorf("watchers are %v; want %v", watchers, watcher)
	}
	return err
}

func (p person) creates(t *testing.T, spec ceph.ImageSpec) []try {
	t.Helper()
	spec.Name += "-new"
	return []try{
		func() error {
			_, err := p.CreateImage(t.Context(), spec, ceph.Layout{Size: 1 << 20, Features: []string{"layering", "exclusive-lock", "object-map"}})
			return err
		},
		// Any object.
		func() error { return p.ioctx(t, spec).WriteFull("object", []byte("x")) },
	}
}

func (p person) commands(t *testing.T, commands ...string) []try {
	var tries []try
	for _, command := range commands {
		tries = append(tries, func() error {
			_, status, err := p.rados.MonCommand([]byte(command))
			if err != nil {
				return fmt.Errorf("%s: %w (%s)", command, err, status)
			}
			return nil
		})
	}
	return tries
}

// ioctx is the person's, until the test ends.
func (p person) ioctx(t *testing.T, spec ceph.ImageSpec) *rados.IOContext {
	t.Helper()
	ioctx, err := p.open(spec.Pool)
	must(t, err)
	ioctx.SetNamespace(spec.Namespace)
	t.Cleanup(ioctx.Destroy)
	return ioctx
}

func dataObject(image ceph.Image) string { return "rbd_data." + image.ID + ".0000000000000000" }

// check tries an action and says whether the person may do it.
func (p person) check(t *testing.T, h *harness, action string, may bool) {
	t.Helper()
	var attempts []try
	name := rand.Text()
	if prepare, ok := tries[action]; ok {
		attempts = prepare(t, h, p, h.volume(t, ceph.ImageSpec{Pool: lab.Pool, Namespace: p.home, Name: name}))
	} else if prepare, ok := subvolumeTries[action]; ok {
		attempts = prepare(t, h, p, h.subvolume(t, subvolumeSpec(name)))
	} else {
		t.Fatalf("no test knows how to %s", action)
	}
	for i, try := range attempts {
		err := try()
		denied := errors.Is(err, ceph.ErrPermission) || errno(err) == eperm || errno(err) == eacces
		if may && err != nil || !may && !denied {
			t.Errorf("attempt %d: %v; the document says allowed: %v", i+1, err, may)
		}
	}
}

// volume makes an image with data and a record.
func (h *harness) volume(t *testing.T, spec ceph.ImageSpec) ceph.Image {
	t.Helper()
	cluster := h.connect(t)
	image, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 4 << 20, Features: []string{"exclusive-lock", "layering", "object-map"}})
	must(t, err)
	must(t, h.ioctx(t, spec).WriteFull(dataObject(image), []byte("data")))
	_, err = cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1})
	must(t, err)
	return image
}

// table is the rows of the document's table with that header, without it.
func table(t *testing.T, document, header string) [][]string {
	t.Helper()
	_, after, found := strings.Cut(document, "\n"+header+"\n")
	if !found {
		t.Fatalf("%s has no table %s", securityDocument, header)
	}
	var rows [][]string
	for line := range strings.Lines(after) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if !strings.HasPrefix(line, "|---") {
			rows = append(rows, strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | "))
		}
	}
	return rows
}

func TestSecurityDocument(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(securityDocument)
	must(t, err)
	document := string(data)
	h := startFilesystem(t)
	for _, namespace := range []string{"north", "south"} {
		must(t, rbd.NamespaceCreate(h.ioctx(t, ceph.ImageSpec{Pool: lab.Pool}), namespace))
	}
	connect := func(t *testing.T, user lab.User, home string) person {
		return person{h.connectAs(t, user), home, "south"}
	}

	// The commands, as a shell runs them.
	people := map[string]person{}
	for _, command := range regexp.MustCompile("(?m)^ceph auth get-or-create client\\.cephferry-(?:.*\\\\\n)*.*").FindAllString(document, -1) {
		shell := exec.CommandContext(t.Context(), "sh", "-c", command)
		shell.Env = append(os.Environ(), "CEPH_CONF="+h.ConfFile)
		shell.Stderr = os.Stderr
		keyring, err := shell.Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		found := regexp.MustCompile(`(?s)\[client\.(cephferry-(\S+?)(-north)?)\].*key = (\S+)`).FindSubmatch(keyring)
		if found == nil {
			t.Fatalf("%s: it prints %q", command, keyring)
		}
		home := strings.TrimPrefix(string(found[3]), "-")
		people[string(found[2])+string(found[3])] = connect(t, lab.User{ID: string(found[1]), Key: string(found[4])}, home)
	}

	users := [][]string{
		{"observer", "observer-north", "operator", "operator-north", "renderer", "renderer-north"},
		{"renamer", "renamer-north"},
		{"subvolumes", "subvolumes-reader"},
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(users...))), slices.Sorted(maps.Keys(people))); diff != "" {
		t.Fatalf("users -want +got:\n%s", diff)
	}
	var tried []string
	for _, names := range users {
		for _, row := range table(t, document, "| action | "+strings.Join(names, " | ")+" |") {
			tried = append(tried, row[0])
			for i, name := range names {
				t.Run(name+"/"+row[0], func(t *testing.T) {
					if may := row[i+1]; may != "yes" && may != "no" {
						t.Fatalf("the document says %q", may)
					}
					people[name].check(t, h, row[0], row[i+1] == "yes")
				})
			}
		}
	}

	for i, row := range table(t, document, "| capability of the nodes' user | may blocklist |") {
		granted := strings.Trim(strings.TrimPrefix(row[0], "mon "), "`")
		user := connect(t, h.user(t, fmt.Sprintf("node-%d", i), "mon", granted, "osd", "profile rbd"), "")
		t.Run("nodes/"+granted, func(t *testing.T) {
			before, err := user.Blocklisted(t.Context())
			must(t, err)
			asked := user.MayFence(t.Context())
			after, err := user.Blocklisted(t.Context())
			must(t, err)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("who asks changes the blocklist:\n%s", diff)
			}
			// What a client does that takes a lock over.
			does := user.commands(t, `{"prefix":"osd blocklist","blocklistop":"add","addr":"192.0.2.9:0/9"}`)[0]()
			if may := row[1] == "yes"; may != (asked == nil) || may != (does == nil) || !may && !errors.Is(asked, ceph.ErrPermission) {
				t.Errorf("the document says %s; asked: %v; doing it: %v", row[1], asked, does)
			}
		})
	}
	for i, row := range table(t, document, "| capability | what it also allows |") {
		caps := map[string]string{"mon": "allow r"}
		service, granted, _ := strings.Cut(row[0], " ")
		caps[service] = strings.Trim(granted, "`")
		var args []string
		for service, granted := range caps {
			args = append(args, service, granted)
		}
		trap := connect(t, h.user(t, fmt.Sprintf("trap-%d", i), args...), "")
		for action := range strings.SplitSeq(row[1], "; ") {
			tried = append(tried, action)
			t.Run(row[0]+"/"+action, func(t *testing.T) { trap.check(t, h, action, true) })
		}
	}
	for _, action := range slices.Concat(slices.Collect(maps.Keys(tries)), slices.Collect(maps.Keys(subvolumeTries))) {
		if !slices.Contains(tried, action) {
			t.Errorf("the document does not say who may %s", action)
		}
	}
}
