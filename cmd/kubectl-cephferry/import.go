package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/dynamicpv"
)

func newImport(o *options) *cobra.Command {
	var class string
	command := &cobra.Command{
		Use:   "import FILE",
		Short: "Create the volumes that export printed in another cluster",
		Long: `Creates the PersistentVolumes that export printed, from a file or from "-", adapted to this
cluster: driver, clusterID, secrets and class come from a StorageClass of this cluster for
the same pool or file system. Run it before the application is installed, so that its
claims find their volumes.`,
		Example: `  kubectl --context west cephferry import volume.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return o.importFrom(command.Context(), args[0], class)
		},
	}
	command.Flags().StringVar(&class, "class", "", "`StorageClass` of this cluster for the volumes; default: the matching one")
	return command
}

func (o *options) importFrom(ctx context.Context, name, class string) error {
	exported, err := o.readExported(name)
	if err != nil {
		return err
	}
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	api, err := c.writer()
	if err != nil {
		return err
	}
	var classes storagev1.StorageClassList
	if err := api.List(ctx, &classes); err != nil {
		return fmt.Errorf("list the StorageClasses: %w", err)
	}
	// Nothing is made before all of them can be.
	var all []*corev1.PersistentVolume
	for _, pv := range exported {
		local, changes, err := c.localize(ctx, pv, classes.Items, class)
		if err != nil {
			return err
		}
		for _, change := range changes {
			fmt.Fprintf(o.std.stdout, "PersistentVolume %s: %s is %q here, not %q\n", local.Name, change.Field, change.To, change.From)
		}
		all = append(all, local)
	}
	for _, pv := range all {
		what, err := makeVolume(ctx, api, pv)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.std.stdout, "PersistentVolume %s %s, for claim %s/%s\n", pv.Name, what, pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name)
	}
	return nil
}

func (o *options) readExported(name string) ([]*corev1.PersistentVolume, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(o.std.stdin)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was exported: %w", err)
	}
	var all []*corev1.PersistentVolume
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var pv corev1.PersistentVolume
		err := decoder.Decode(&pv)
		switch {
		case errors.Is(err, io.EOF) && len(all) == 0:
			return nil, fmt.Errorf("read %q: it has no PersistentVolume", name)
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("read %q: %w", name, err)
		case pv.Kind != "PersistentVolume":
			return nil, fmt.Errorf("read %q: there is a %q, and import takes what export has printed: PersistentVolumes", name, pv.Kind)
		}
		all = append(all, &pv)
	}
}

// localize is an exported volume with the first class that leads to its image.
func (c *connection) localize(ctx context.Context, exported *corev1.PersistentVolume, classes []storagev1.StorageClass, name string) (*corev1.PersistentVolume, []dynamicpv.Change, error) {
	candidates, err := dynamicpv.Candidates(exported, classes, name)
	if err != nil {
		return nil, nil, err
	}
	var missing []string
	for _, class := range candidates {
		pv, changes, err := dynamicpv.Localize(exported, class)
		if err != nil {
			return nil, nil, err
		}
		spec, found, err := c.hasImage(ctx, pv)
		if err != nil {
			return nil, nil, fmt.Errorf("PersistentVolume %s, with StorageClass %s: %w", pv.Name, class.Name, err)
		}
		if found {
			return pv, changes, nil
		}
		missing = append(missing, fmt.Sprintf("no image %s by StorageClass %s", spec, class.Name))
	}
	return nil, nil, fmt.Errorf("PersistentVolume %s: there is %s; is that the same Ceph, pool and rados namespace?", exported.Name, strings.Join(missing, ", and "))
}

// hasImage reports whether the volume's image is where the volume says. A file system has no
// image, and ceph-csi finds its subvolume by the handle alone.
func (c *connection) hasImage(ctx context.Context, pv *corev1.PersistentVolume) (ceph.ImageSpec, bool, error) {
	volume, guarded, err := c.Finder.Guarded(pv)
	if err != nil || !guarded {
		return ceph.ImageSpec{}, err == nil, err
	}
	storage, spec, err := c.Image(ctx, volume)
	if err == nil {
		_, err = storage.Image(ctx, spec)
	}
	if errors.Is(err, ceph.ErrImageNotFound) || errors.Is(err, ceph.ErrNamespaceNotFound) {
		return spec, false, nil
	}
	return spec, err == nil, err
}

// makeVolume creates a volume, unless the same is there.
func makeVolume(ctx context.Context, api client.Client, pv *corev1.PersistentVolume) (string, error) {
	err := api.Create(ctx, pv.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			err = fmt.Errorf("make PersistentVolume %s: %w", pv.Name, err)
		}
		return "is made", err
	}
	var now corev1.PersistentVolume
	if err := api.Get(ctx, client.ObjectKeyFromObject(pv), &now); err != nil {
		return "", fmt.Errorf("read PersistentVolume %s: %w", pv.Name, err)
	}
	ref := now.Spec.ClaimRef
	same := ref != nil && ref.Namespace == pv.Spec.ClaimRef.Namespace && ref.Name == pv.Spec.ClaimRef.Name
	if !same || !equality.Semantic.DeepEqual(now.Spec.CSI, pv.Spec.CSI) {
		return "", fmt.Errorf("PersistentVolume %s exists, and leads elsewhere or is for another claim; delete it if it is not intended, then run the same command again", pv.Name)
	}
	before := now.DeepCopy()
	if dynamicpv.Share(&now) {
		if err := api.Patch(ctx, &now, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return "", fmt.Errorf("guard PersistentVolume %s and set its policy to Retain: %w", pv.Name, err)
		}
	}
	return "exists already", nil
}
