package doctor

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Classes checks that there is a class that volumes can be made from, and returns
// those.
func Classes(ctx context.Context, source storageclass.Source) ([]storageclass.Class, Finding) {
	const check = "class"
	all, err := source(ctx)
	if err != nil {
		return nil, problem(check, "pass a manifest with --storage-class FILE, or ask for permission to list storageclasses", "%v", err)
	}
	var usable []storageclass.Class
	var names []string
	for i := range all {
		if class, errs := storageclass.Settings(all, &all[i]); len(errs) == 0 {
			usable = append(usable, class)
			names = append(names, class.Name)
		}
	}
	if len(usable) == 0 {
		return nil, problem(check, "create a StorageClass for ceph-csi, as in Rook's deploy/examples/csi", "none of %d StorageClasses is a ceph-csi class that volumes can be created from", len(all))
	}
	return usable, ok(check, "%s", strings.Join(names, ", "))
}

// Connect returns the cluster behind a class, and where its volumes live.
type Connect func(ctx context.Context, class storageclass.Class) (provision.Location, error)

// probe is the name, and the id, of a volume that nobody has: the names of claims
// have a dot in them, or are chosen by people.
const probe = "cephferry-doctor-probe"

// Ceph checks that Ceph answers for a class, and that the key may look at volumes
// and write. Nothing is written: the swap names a revision that no record has, and
// Ceph looks at the key's rights first.
func Ceph(ctx context.Context, connect Connect, class storageclass.Class) Finding {
	const check = "ceph"
	location, err := connect(ctx, class)
	if err != nil {
		return problem(check, mend(err, "check the monitors in ceph-csi's configuration and the class's provisioner secret, or pass --ceph-conf, --ceph-id and --ceph-keyring"), "class %s: %v", class.Name, err)
	}
	try := tryImage
	if class.CephFS != nil {
		try = trySubvolume
	}
	where, err := try(ctx, location, class)
	if err != nil {
		return problem(check, mend(err, "ceph status"), "class %s: %v", class.Name, err)
	}
	return ok(check, "class %s: %s answers, and the key may write", class.Name, where)
}

// swap is a change that no record takes.
func swap() ceph.Record { return ceph.Record{Revision: math.MaxInt64} }

func tryImage(ctx context.Context, location provision.Location, class storageclass.Class) (where string, err error) {
	spec := ceph.ImageSpec{Pool: class.RBD.Pool, Namespace: location.RadosNamespace, Name: probe}
	if _, err := location.Cluster.Image(ctx, spec); err != nil && !errors.Is(err, ceph.ErrImageNotFound) {
		return "", err
	}
	_, err = location.Cluster.PutRecord(ctx, ceph.Image{ImageSpec: spec, ID: probe}, swap())
	if errors.Is(err, ceph.ErrRecordChanged) {
		err = nil
	}
	return "pool " + strings.TrimSuffix(spec.String(), "/"+probe), err
}

func trySubvolume(ctx context.Context, location provision.Location, class storageclass.Class) (where string, err error) {
	spec := ceph.SubvolumeSpec{Filesystem: class.CephFS.Filesystem, Group: location.SubvolumeGroup, Name: probe}
	if _, err := location.Cluster.Subvolume(ctx, spec); err != nil && !errors.Is(err, ceph.ErrSubvolumeNotFound) {
		return "", err
	}
	_, err = location.Cluster.PutSubvolumeRecord(ctx, ceph.Subvolume{SubvolumeSpec: spec, Path: "/" + probe}, swap())
	if errors.Is(err, ceph.ErrRecordChanged) {
		err = nil
	}
	return "file system " + spec.Filesystem, err
}

// mend is what to do about an error of Ceph.
func mend(err error, otherwise string) string {
	if advice := ceph.Advice(err); advice != "" {
		return advice
	}
	return otherwise
}
