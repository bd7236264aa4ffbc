package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/count"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/provisioner"
	"github.com/cephferry/cephferry/pkg/restore"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
)

type restoreOptions struct {
	*options
	from, class, volumeMode string
	accessModes             []string
	volumes                 bool
}

func newRestore(o *options) *cobra.Command {
	r := &restoreOptions{options: o}
	command := &cobra.Command{
		Use:   "restore [NAMESPACE/CLAIM...] --direct --from CLUSTER",
		Short: "Print the claims of a lost cluster, from the records in Ceph",
		Long: `Prints the claims of a lost cluster as manifests for kubectl apply, for the cluster that takes
over its volumes: names, namespaces and sizes come from the records in Ceph, the class is the
one of this cluster that leads to each image. The claims wait until failover has taken their
images, and no claim is ever given an empty one.

It queries Ceph, as with --direct: this cluster has no object of a claim that it never
had. The records contain neither access modes nor volume mode, so you name them, for all claims.
What else is unknown is said in comments. The exit code is 1 if a claim had to be left out,
and 3 if a record cannot be read.`,
		Example: `  kubectl cephferry restore --direct --from east --access-mode ReadWriteOnce --volume-mode Filesystem > claims.yaml
  kubectl cephferry restore shop/disk --direct --from east --access-mode ReadWriteMany --volume-mode Block`,
		RunE: func(command *cobra.Command, args []string) error { return r.run(command.Context(), args) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&r.from, "from", "", "the lost `cluster`: its name or uid")
	flags.StringSliceVar(&r.accessModes, "access-mode", nil, "`mode` of the claims, such as ReadWriteOnce; repeatable")
	flags.StringVar(&r.volumeMode, "volume-mode", "", "`mode` of the claims: Filesystem or Block")
	flags.StringVar(&r.class, "class", "", "`StorageClass` of this cluster for the claims; default: the one that leads to the image")
	flags.BoolVar(&r.volumes, "volumes", false, "print the PersistentVolumes too, for a cluster whose webhook creates none (chart value provisioner.enabled)")
	return command
}

// wish reads arguments and flags.
func (r *restoreOptions) wish(args []string, namespace string) (restore.Wish, error) {
	wish := restore.Wish{From: r.from, Class: r.class, VolumeMode: corev1.PersistentVolumeMode(r.volumeMode), Volumes: r.volumes}
	for _, mode := range r.accessModes {
		wish.AccessModes = append(wish.AccessModes, corev1.PersistentVolumeAccessMode(mode))
	}
	switch {
	case r.from == "":
		return wish, errors.New("name the cluster that is lost with --from")
	case !r.direct:
		return wish, errors.New("restore asks Ceph itself, because no object of this cluster knows the claims that another one had: pass --direct, with a build that has Ceph's libraries")
	case wish.VolumeMode != "" && !slices.Contains([]corev1.PersistentVolumeMode{corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock}, wish.VolumeMode):
		return wish, fmt.Errorf("--volume-mode %s: must be Filesystem or Block", r.volumeMode)
	}
	for _, mode := range wish.AccessModes {
		if !slices.Contains([]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod}, mode) {
			return wish, fmt.Errorf("--access-mode %s: must be ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod", mode)
		}
	}
	claims, err := claimArgs(args, namespace)
	wish.Claims = names(claims)
	return wish, err
}

func (r *restoreOptions) run(ctx context.Context, args []string) error {
	if _, err := r.wish(args, "default"); err != nil {
		return err
	}
	c, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	wish, err := r.wish(args, c.namespace)
	if err != nil {
		return err
	}
	return r.restore(ctx, c.Inventory, c.storages, c.settings.cluster, wish)
}

// restore prints the claims. What stays unknown is its error, after the rest is printed.
func (r *restoreOptions) restore(ctx context.Context, c *inventory.Inventory, places inventory.Storages, name string, wish restore.Wish) error {
	here, err := whatIsHere(ctx, c.API, name)
	if err != nil {
		return err
	}
	spaces, unread, err := spacesOf(ctx, c.API, places, here.Self, wish.Volumes)
	if err != nil {
		return err
	}
	plan, err := restore.Decide(wish, spaces, here)
	plan.Unread = append(plan.Unread, unread...)
	if err != nil {
		if len(plan.Unread) > 0 {
			return unknown(fmt.Errorf("%w\ncannot know %s", err, strings.Join(plan.Unread, "\ncannot know ")))
		}
		return err
	}
	if err := plan.Print(r.std.stdout); err != nil {
		return err
	}
	if len(plan.Free) > 0 {
		fmt.Fprintf(r.std.stderr, "In the comments: %s that the cluster had given up, with no claim in the record.\n", count.Of(len(plan.Free), "image"))
	}
	switch {
	case len(plan.Left) > 0:
		return fmt.Errorf("%s left out:\n%s", count.Of(len(plan.Left), "claim"), strings.Join(plan.Left, "\n"))
	case len(plan.Unread) > 0:
		return unknown(fmt.Errorf("not all records can be read, and the claims in them are missing:\n%s", strings.Join(plan.Unread, "\n")))
	}
	return nil
}

// whatIsHere is what the cluster has that gets the claims.
func whatIsHere(ctx context.Context, api client.Reader, name string) (restore.Here, error) {
	here := restore.Here{Claims: map[types.NamespacedName]bool{}, Grants: map[string]func(string) bool{}}
	var err error
	if here.Self, err = usage.Party(ctx, api, name); err != nil {
		return here, err
	}
	err = usage.EachPage(ctx, usage.Source{Reader: api}, func(list *corev1.PersistentVolumeClaimList) {
		for i := range list.Items {
			here.Claims[client.ObjectKeyFromObject(&list.Items[i])] = true
		}
	})
	if err != nil {
		return here, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	err = usage.EachPage(ctx, usage.Source{Reader: api}, func(list *corev1.NamespaceList) {
		for _, namespace := range list.Items {
			here.Grants[namespace.Name] = func(image string) bool { return provisioner.Granted(&namespace, image) }
		}
	})
	if err != nil {
		return here, fmt.Errorf("list Namespaces: %w", err)
	}
	return here, nil
}

// spacesOf are the pools to which StorageClasses of this cluster lead, with the records there, and
// the classes of which that is not known.
func spacesOf(ctx context.Context, api client.Reader, places inventory.Storages, self ceph.Party, volumes bool) (spaces []restore.Space, unread []string, err error) {
	var list storagev1.StorageClassList
	if err := api.List(ctx, &list); err != nil {
		return nil, nil, fmt.Errorf("list StorageClasses: %w", err)
	}
	type of struct {
		storage         ceph.Cluster
		pool, namespace string
	}
	known := map[of]int{}
	for i := range list.Items {
		class := &list.Items[i]
		if !storageclass.IsOurs(class) && !storageclass.IsRBD(class.Provisioner) {
			continue
		}
		cannot := func(err error) {
			unread = append(unread, fmt.Sprintf("the records where StorageClass %s leads: %v", class.Name, failover.WithAdvice(err)))
		}
		settings, mistakes := storageclass.Settings(list.Items, class)
		if len(mistakes) > 0 {
			cannot(mistakes.ToAggregate())
			continue
		}
		if settings.RBD == nil {
			continue
		}
		storage, namespace, err := places.Cluster(ctx, settings.ClusterID)
		if err != nil {
			cannot(err)
			continue
		}
		at := of{storage, settings.RBD.Pool, namespace}
		n, ok := known[at]
		if !ok {
			space := restore.Space{Pool: at.pool, Namespace: namespace}
			if err := readSpace(ctx, storage, self, &space, volumes); err != nil {
				cannot(err)
				continue
			}
			n = len(spaces)
			known[at], spaces = n, append(spaces, space)
		}
		spaces[n].Classes = append(spaces[n].Classes, restore.Class{Ours: storageclass.IsOurs(class), Class: settings})
	}
	switch {
	case len(spaces) == 0 && len(unread) > 0:
		return nil, nil, unknown(errors.New("cannot know " + strings.Join(unread, "\ncannot know ")))
	case len(spaces) == 0:
		return nil, unread, errors.New("this cluster has no StorageClass of RBD, so nothing says in which pools the records are; make the class for the pool of the lost cluster first")
	}
	return spaces, unread, nil
}

// readSpace reads the records, and for PersistentVolumes what they need besides.
func readSpace(ctx context.Context, storage ceph.Cluster, self ceph.Party, space *restore.Space, volumes bool) error {
	var err error
	if space.Records, err = storage.Records(ctx, space.Pool, space.Namespace); err != nil || !volumes {
		return err
	}
	keys, err := storage.Keys(ctx, space.Pool, space.Namespace)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key.UID == self.UID {
			space.Key = key.Name
		}
	}
	space.Features = map[string][]string{}
	for _, record := range space.Records {
		image, err := storage.Image(ctx, record.Image)
		if errors.Is(err, ceph.ErrImageNotFound) {
			continue
		} else if err != nil {
			return err
		}
		space.Features[record.Image.Name] = image.Features
	}
	return nil
}
