package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// imageMaker connects to Ceph as the flags say.
type imageMaker struct {
	options options
	helm    *helmCall
	open    []ceph.Cluster
}

func (m *imageMaker) close() {
	for _, cluster := range m.open {
		_ = cluster.Close() // the process ends anyway
	}
}

func (m *imageMaker) images(ctx context.Context) (postrender.Images, error) {
	provisioned := postrender.Provisioned{Connect: m.connect, Volumes: m.helm.volumes}
	if m.options.create == createNever {
		return postrender.Existing{Provisioned: provisioned, DryRun: m.helm.dryRun}, nil
	}
	dry, err := m.helm.dryRun(ctx)
	if err != nil {
		return nil, err
	}
	if dry {
		return postrender.Untouched{Key: m.options.clusterName}, nil
	}
	return provisioned, nil
}

// connect opens the cluster behind a class, by the Ceph flags or else by what
// ceph-csi is configured with. The key is what the flag says: that it is this cluster's, the
// webhook sees to before it lets a pod use the image.
func (m *imageMaker) connect(ctx context.Context, class storageclass.Class) (at provision.Location, err error) {
	if m.byFlags() {
		at, err = m.connectByFlags(ctx, class)
	} else {
		at, err = m.connectByCSI(ctx, class)
	}
	at.Key = m.options.clusterName
	return at, err
}

func (m *imageMaker) byFlags() bool {
	return m.options.cephConf != "" || m.options.cephID != "" || m.options.cephKeyring != ""
}

func (m *imageMaker) connectByCSI(ctx context.Context, class storageclass.Class) (provision.Location, error) {
	if class.ProvisionerSecret.Name == "" || class.ProvisionerSecret.Namespace == "" {
		return provision.Location{}, fmt.Errorf("the class names no provisioner secret (parameters csi.storage.k8s.io/provisioner-secret-name and -namespace); pass --ceph-conf, --ceph-id and --ceph-keyring instead")
	}
	cluster, entry, err := m.connectAs(ctx, class, class.ProvisionerSecret)
	if err != nil {
		return provision.Location{}, err
	}
	return location(cluster, entry), nil
}

// connectNodes connects as the nodes do, whatever the Ceph flags say: those are of who renders.
func (m *imageMaker) connectNodes(ctx context.Context, class storageclass.Class) (ceph.Fencer, error) {
	cluster, _, err := m.connectAs(ctx, class, class.NodeStageSecret)
	return cluster, err
}

// connectAs connects as the Ceph user of a secret, to where ceph-csi's configuration leads.
func (m *imageMaker) connectAs(ctx context.Context, class storageclass.Class, secret corev1.SecretReference) (ceph.Cluster, csiconfig.Entry, error) {
	reader, err := m.reader(ctx)
	if err != nil {
		return nil, csiconfig.Entry{}, err
	}
	entry, err := entryOf(ctx, reader, class)
	if err != nil {
		return nil, csiconfig.Entry{}, err
	}
	credentials, err := reader.Credentials(ctx, secret)
	if err != nil {
		return nil, csiconfig.Entry{}, err
	}
	cluster, err := m.dial(ctx, goceph.Config{Monitors: entry.Monitors, User: credentials.User, Key: credentials.Key})
	return cluster, entry, err
}

func location(cluster ceph.Cluster, entry csiconfig.Entry) provision.Location {
	return provision.Location{Cluster: cluster, RadosNamespace: entry.RadosNamespace, SubvolumeGroup: entry.SubvolumeGroup}
}

// connectByFlags takes the connection from the flags. Where the class's volumes
// live no flag says, only ceph-csi's config.json in the Kubernetes cluster. With
// classes from files there may be no cluster to read that from; then the answer is
// certain only for a pool that has no rados namespaces, and never for a subvolume
// group.
func (m *imageMaker) connectByFlags(ctx context.Context, class storageclass.Class) (provision.Location, error) {
	flags := goceph.Config{ConfFile: m.options.cephConf, User: m.options.cephID, Keyring: m.options.cephKeyring}
	if class.RBD != nil && len(m.options.storageClasses) > 0 {
		cluster, err := m.dial(ctx, flags)
		if err != nil {
			return provision.Location{}, err
		}
		return provision.Location{Cluster: cluster}, requireNoNamespaces(ctx, class, cluster)
	}
	reader, err := m.reader(ctx)
	var entry csiconfig.Entry
	if err == nil {
		entry, err = entryOf(ctx, reader, class)
	}
	if err != nil && class.CephFS != nil {
		err = fmt.Errorf("only ceph-csi's config.json names the subvolume group of clusterID %q, and in any other group the claim would get a new, empty volume: %w", class.ClusterID, err)
	}
	if err != nil {
		return provision.Location{}, err
	}
	cluster, err := m.dial(ctx, flags)
	return location(cluster, entry), err
}

func requireNoNamespaces(ctx context.Context, class storageclass.Class, pools ceph.NamespaceLister) error {
	names, err := pools.Namespaces(ctx, class.RBD.Pool)
	if err != nil {
		return fmt.Errorf("list the rados namespaces of pool %q: %w", class.RBD.Pool, err)
	}
	if len(names) > 0 {
		return fmt.Errorf("pool %q has rados namespaces (%s), and only ceph-csi's config.json says which one belongs to clusterID %q; leave --storage-class out, so that class and config.json are read from the Kubernetes cluster", class.RBD.Pool, strings.Join(names, ", "), class.ClusterID)
	}
	return nil
}

func (m *imageMaker) reader(ctx context.Context) (csiconfig.Reader, error) {
	client, err := m.helm.client(ctx)
	return csiconfig.Reader{Client: client}, err
}

func (m *imageMaker) dial(ctx context.Context, config goceph.Config) (ceph.Cluster, error) {
	cluster, err := goceph.Dial(ctx, config)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, m.unsupported()
	} else if err != nil {
		return nil, err
	}
	m.open = append(m.open, cluster)
	return cluster, nil
}

// unsupported says what a build without cgo can do instead.
func (m *imageMaker) unsupported() error {
	if m.options.create == createNever {
		return errors.New("--create never: the path of a CephFS subvolume, and the size of an adopted image, have to be read from Ceph, and this build of postrender has no Ceph library; use --create cluster, or the build that has it")
	}
	return errors.New("--create client: this build of postrender has no Ceph library; use --create cluster, the build that has it, or --create never for existing RBD images")
}

// entryOf finds ceph-csi's configuration of a class. It is in the operator's namespace, which
// Rook and ceph-csi-operator put before the driver's name. Where it is not there, it may be in that
// of the provisioner secret, or in the one called like the clusterID, which by default is the
// CephCluster's. So of two installations of ceph-csi, each has its own.
func entryOf(ctx context.Context, reader csiconfig.Reader, class storageclass.Class) (csiconfig.Entry, error) {
	entry, err := reader.Entry(ctx, class.ClusterID, class.Operator())
	if errors.Is(err, csiconfig.ErrNotFound) {
		entry, err = reader.Entry(ctx, class.ClusterID, class.Operator(), class.ProvisionerSecret.Namespace, class.ClusterID)
	}
	if err == nil && class.CephFS != nil {
		err = entry.ForCephFS(class.ClusterID)
	}
	return entry, err
}
