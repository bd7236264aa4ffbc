package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// ceph-csi looks for other watchers that often before it gives up, with pauses
// that begin like this and grow (its waitForrbdImage).
const (
	watcherLooks = 10
	firstPause   = time.Second
	pauseGrowth  = 1.4
)

// openedImage is an RBD volume that is staged.
type openedImage struct {
	image Image
	// disconnect ends the use of the client that has it open.
	disconnect func()
	// chain is nil when the image must not be written: it is open read-only, or
	// has other data.
	chain *stamp.Chain
}

func (i *openedImage) stamp(writer stamp.Writer) error {
	if i.chain == nil {
		return nil
	}
	return i.chain.Write(writer)
}

func (i *openedImage) expand() (uint64, error) { return i.image.Size() }

func (i *openedImage) close() error {
	err := i.image.Close()
	i.disconnect()
	return err
}

// openImage opens the volume's image when nobody else has it open.
func (n *node) openImage(ctx context.Context, pv *corev1.PersistentVolume) (_ staged, err error) {
	at, err := n.locate(ctx, pv)
	if err != nil {
		return nil, err
	}
	attributes := pv.Spec.CSI.VolumeAttributes
	spec := ceph.ImageSpec{Pool: attributes["pool"], Namespace: at.config.RBD.RadosNamespace, Name: attributes["imageName"]}
	if attributes["staticVolume"] == "true" {
		spec.Name = pv.Spec.CSI.VolumeHandle
	}
	mode := mapMode(pv)
	shared := slices.Contains(pv.Spec.AccessModes, corev1.ReadWriteMany)
	if !n.IgnoreWatchers && !shared && mode != ReadOnly {
		if err := n.awaitNoWatcher(ctx, spec, at.settings); err != nil {
			return nil, err
		}
	}

	client, disconnect, err := n.connect(at.settings, slices.Contains(krbdOptions(pv), "noshare"))
	if err != nil {
		return nil, err
	}
	opened := &openedImage{disconnect: disconnect}
	if opened.image, err = client.Open(spec, mode); err != nil {
		disconnect()
		return nil, err
	}
	if mode != ReadOnly {
		if opened.chain, err = continueChain(opened.image); errors.Is(err, stamp.ErrOtherData) {
			n.Log.Warn("no stamps", "image", spec, "reason", err)
		} else if err != nil {
			return nil, errors.Join(err, opened.close())
		}
	}
	// Staging makes the filesystem as large as the image is now.
	size, err := opened.image.Size()
	if err != nil {
		return nil, errors.Join(err, opened.close())
	}
	n.Log.Info("opened", "image", spec, "mode", mode, "as", client.Address(), "size", size)
	return opened, nil
}

func continueChain(image Image) (*stamp.Chain, error) {
	size, err := image.Size()
	if err != nil {
		return nil, err
	}
	return stamp.Continue(image, size)
}

// connect returns the client through which an image is opened, and what to call when that
// is closed: the client that all images of the node share, or a private one, which has a nonce
// of its own.
func (n *node) connect(settings CephSettings, private bool) (_ Client, disconnect func(), err error) {
	if private {
		client, err := n.Dial(settings)
		if err != nil {
			return nil, nil, err
		}
		return client, client.Close, nil
	}
	client, err := n.share(settings)
	return client, n.unshare, err
}

// share returns the client that the images of the node share, and counts its
// user. It is a new one, with a new nonce, after all images were closed.
func (n *node) share(settings CephSettings) (Client, error) {
	n.clientMu.Lock()
	defer n.clientMu.Unlock()
	if n.client == nil {
		client, err := n.Dial(settings)
		if err != nil {
			return nil, err
		}
		n.client, n.settings = client, settings
	} else if n.settings != settings {
		return nil, errors.New("the images of a node must have one Ceph and one user")
	}
	n.opened++
	return n.client, nil
}

func (n *node) unshare() {
	n.clientMu.Lock()
	defer n.clientMu.Unlock()
	if n.opened--; n.opened == 0 {
		n.client.Close()
		n.client = nil
	}
}

// awaitNoWatcher looks for other watchers as ceph-csi does: through a client of
// its own, whose open is a watcher too, and for 49 s and ten opens, also before a
// mapping with the lock that another client would refuse at once.
func (n *node) awaitNoWatcher(ctx context.Context, spec ceph.ImageSpec, settings CephSettings) error {
	client, err := n.Dial(settings)
	if err != nil {
		return err
	}
	defer client.Close()
	delay := firstPause
	for look := 1; ; look++ {
		watchers, err := client.Watchers(spec)
		if err != nil {
			return err
		}
		if len(watchers) <= 1 {
			return nil
		}
		n.Log.Info("in use", "image", spec, "watchers", watchers)
		if look == watcherLooks {
			return fmt.Errorf("rbd image %s is still being used", spec)
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
		delay = time.Duration(float64(delay) * pauseGrowth)
	}
}

func mapMode(pv *corev1.PersistentVolume) Mode {
	if !slices.ContainsFunc(pv.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadOnlyMany }) {
		return ReadOnly
	}
	if slices.Contains(krbdOptions(pv), "exclusive") {
		return Exclusive
	}
	return ReadWrite
}

// krbdOptions are the map options for krbd, from `krbd:a,b;nbd:c` or `a,b`.
func krbdOptions(pv *corev1.PersistentVolume) []string {
	var all []string
	for options := range strings.SplitSeq(pv.Spec.CSI.VolumeAttributes["mapOptions"], ";") {
		mounter, list, ok := strings.Cut(options, ":")
		if !ok {
			mounter, list = "krbd", options
		}
		if mounter == "krbd" {
			all = append(all, strings.Split(list, ",")...)
		}
	}
	return all
}
