package storageclass

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// RBD is what an RBD class says of its volumes. The parameters are ceph-csi's
// (its examples/rbd/storageclass.yaml); those not listed concern dynamic
// provisioning only.
type RBD struct {
	// Name is the class's name.
	Name string
	// Driver is the CSI driver's name, such as rook-ceph.rbd.csi.ceph.com.
	Driver string
	// ClusterID is the key into ceph-csi's config.json.
	ClusterID string
	Pool      string
	// Layout of new images; its Size is zero.
	Layout ceph.Layout
	// Attributes are the parameters that go into the PV's volumeAttributes as
	// they are: mounter, mapOptions, unmapOptions, tryOtherMounters.
	Attributes map[string]string
	// FSType is empty for ceph-csi's default.
	FSType       string
	MountOptions []string
	// NodeStageSecret is what the node plugin maps with, ProvisionerSecret what
	// creates images.
	NodeStageSecret, ProvisionerSecret corev1.SecretReference
}

const (
	paramFSType             = "csi.storage.k8s.io/fstype"
	paramNodeStageSecret    = "csi.storage.k8s.io/node-stage-secret-"
	paramProvisionerSecret  = "csi.storage.k8s.io/provisioner-secret-"
	paramEncrypted          = "encrypted"
	paramTopologyPools      = "topologyConstrainedPools"
	paramImageFeatures      = "imageFeatures"
	rbdDriver, cephFSDriver = "rbd.csi.ceph.com", "cephfs.csi.ceph.com"
	featureLayering         = "layering"
	featureExclusiveLock    = "exclusive-lock"
)

// IsRBD reports whether provisioner is ceph-csi's RBD driver. Rook puts the
// operator's namespace before the driver's name.
func IsRBD(provisioner string) bool { return isDriver(provisioner, rbdDriver) }

// IsCephFS reports whether provisioner is ceph-csi's CephFS driver.
func IsCephFS(provisioner string) bool { return isDriver(provisioner, cephFSDriver) }

func isDriver(provisioner, driver string) bool {
	return provisioner == driver || strings.HasSuffix(provisioner, "."+driver)
}

// ParseRBD reads an RBD class. Every mistake is reported, with the field's path
// in the StorageClass.
func ParseRBD(class *storagev1.StorageClass) (RBD, field.ErrorList) {
	path := field.NewPath("provisioner")
	switch {
	case IsCephFS(class.Provisioner):
		return RBD{}, field.ErrorList{field.Invalid(path, class.Provisioner, "CephFS volumes cannot be rendered by this version, only RBD volumes")}
	case !IsRBD(class.Provisioner):
		return RBD{}, field.ErrorList{field.Invalid(path, class.Provisioner, "is not ceph-csi's driver for RBD or CephFS")}
	}

	p := parser{params: class.Parameters, path: field.NewPath("parameters")}
	rbd := RBD{
		Name:      class.Name,
		Driver:    class.Provisioner,
		ClusterID: p.required("clusterID"),
		Pool:      p.required("pool"),
		Layout: ceph.Layout{
			Features:    p.features(),
			DataPool:    p.params["dataPool"],
			ObjectSize:  p.number("objectSize"),
			StripeUnit:  p.number("stripeUnit"),
			StripeCount: p.number("stripeCount"),
		},
		Attributes:        p.existing("mounter", "mapOptions", "unmapOptions", "tryOtherMounters"),
		FSType:            p.params[paramFSType],
		MountOptions:      class.MountOptions,
		NodeStageSecret:   p.secret(paramNodeStageSecret, true),
		ProvisionerSecret: p.secret(paramProvisionerSecret, false),
	}
	if err := rbd.Layout.Validate(); err != nil {
		p.errs = append(p.errs, field.Invalid(p.path, class.Name, err.Error()))
	}
	if value, ok := p.params[paramEncrypted]; ok {
		if encrypted, err := strconv.ParseBool(value); err != nil || encrypted {
			p.invalid(paramEncrypted, "ceph-csi cannot open an encrypted volume by a static PersistentVolume; use a class without encryption")
		}
	}
	if _, ok := p.params[paramTopologyPools]; ok {
		p.invalid(paramTopologyPools, "a migratable volume has one pool, the same in every cluster; use a class with a pool")
	}
	return rbd, p.errs
}

// parser reads parameters and collects the mistakes.
type parser struct {
	params map[string]string
	path   *field.Path
	errs   field.ErrorList
}

func (p *parser) invalid(name, detail string) {
	p.errs = append(p.errs, field.Invalid(p.path.Key(name), p.params[name], detail))
}

func (p *parser) required(name string) string {
	value := p.params[name]
	if value == "" {
		p.errs = append(p.errs, field.Required(p.path.Key(name), ""))
	}
	return value
}

func (p *parser) number(name string) uint64 {
	value, ok := p.params[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n == 0 {
		p.invalid(name, "must be a whole number above 0")
	}
	return n
}

func (p *parser) existing(names ...string) map[string]string {
	found := map[string]string{}
	for _, name := range names {
		if value, ok := p.params[name]; ok {
			found[name] = value
		}
	}
	return found
}

// features returns the features of a new image: those of the class, layering
// when it names none (Rook's default), and always exclusive-lock. With that
// feature, a client that takes the lock over from a dead one has it blocklisted.
func (p *parser) features() []string {
	var features []string
	for name := range strings.SplitSeq(p.params[paramImageFeatures], ",") {
		if name = strings.TrimSpace(name); name != "" {
			features = append(features, name)
		}
	}
	if len(features) == 0 {
		features = append(features, featureLayering)
	}
	features = append(features, featureExclusiveLock)
	slices.Sort(features)
	return slices.Compact(features)
}

// secret reads the pair of parameters <prefix>name and <prefix>namespace. The
// external-provisioner would fill in templates such as ${pvc.namespace}; a
// static PV has to name its secret.
func (p *parser) secret(prefix string, required bool) corev1.SecretReference {
	read := func(name string) string {
		value := p.params[name]
		if strings.Contains(value, "${") {
			p.invalid(name, "templates are not supported; name one secret")
		} else if value == "" && required {
			p.errs = append(p.errs, field.Required(p.path.Key(name), ""))
		}
		return value
	}
	return corev1.SecretReference{Name: read(prefix + "name"), Namespace: read(prefix + "namespace")}
}
