package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/test/lab"
)

// lone is west with a Ceph of its own, and without nodes: what is measured is how many
// objects there are, and who asks about them.
type lone struct {
	dir     string
	tools   lab.Tools
	ceph    *lab.Ceph
	cluster *lab.Cluster
	api     client.Client
	// storage is a connection of this program.
	storage ceph.Cluster
}

func (l *lone) start(ctx context.Context) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		l.ceph, err = lab.StartCeph(starting, lab.Options{Dir: filepath.Join(l.dir, "ceph"), Tools: l.tools})
		return err
	})
	group.Go(func() (err error) {
		l.cluster, err = lab.StartCluster(starting, lab.West, lab.Options{Dir: filepath.Join(l.dir, lab.West), Tools: l.tools})
		return err
	})
	err := group.Wait()
	if err != nil {
		return err
	}
	if err := l.cluster.AddRook(ctx, l.ceph, lab.Rook{Config: lab.OperatorConfig}); err != nil {
		return err
	}
	if _, err := l.cluster.Run(ctx, "apply", "--server-side", "--filename", "charts/cephferry/crd-schemas"); err != nil {
		return err
	}
	// What controllers do with thousands of new volumes would be measured too.
	if err := l.cluster.ControllerManager.Freeze(); err != nil {
		return err
	}
	if l.api, err = newClient(l.cluster.Kubeconfig); err != nil {
		return err
	}
	if l.storage, err = goceph.Dial(ctx, goceph.Config{ConfFile: l.ceph.ConfFile}); err != nil {
		return err
	}
	return nil
}

func (l *lone) stop() error {
	var err error
	if l.storage != nil {
		err = l.storage.Close()
	}
	if l.ceph != nil {
		err = errors.Join(err, l.ceph.Stop())
	}
	if l.cluster != nil {
		err = errors.Join(err, l.cluster.Stop())
	}
	return err
}

// keyedImage is the image of a claim, by the names that west may know it by.
func keyedImage(claim string) ceph.ImageSpec {
	spec := image(claim)
	spec.Key = lab.West
	return spec
}

// keyedVolume is the PersistentVolume of a claim, as west's provisioner makes it.
func keyedVolume(claim string) *corev1.PersistentVolume {
	return staticpv.Plan{
		Namespace: namespace, Names: staticpv.Names{Claim: claim, Image: staticpv.ImageName(namespace, claim)},
		Class: storageclass.Class{
			Driver: driver, ClusterID: "rook-ceph", RBD: &storageclass.RBD{Pool: lab.Pool, FSType: "ext4"},
			NodeStageSecret: corev1.SecretReference{Name: "rook-csi-rbd-node", Namespace: "rook-ceph"},
		},
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
	}.PV(staticpv.Made{Size: size, Exclusive: true, Private: true, Key: lab.West})
}

// keyedLayout is that of the image.
func keyedLayout() ceph.Layout {
	return ceph.Layout{Size: 1 << 30, Features: []string{"exclusive-lock", "layering"}}
}
