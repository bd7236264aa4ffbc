package storageclass

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	paramClusterID         = "clusterID"
	paramFSType            = "csi.storage.k8s.io/fstype"
	paramNodeStageSecret   = "csi.storage.k8s.io/node-stage-secret-"
	paramProvisionerSecret = "csi.storage.k8s.io/provisioner-secret-"
	paramEncrypted         = "encrypted"
	paramTopologyPools     = "topologyConstrainedPools"
	paramTopologyClusters  = "clusterIDs" // proposed for ceph-csi (pull request 5986)
	paramImageFeatures     = "imageFeatures"
	paramFilesystem        = "fsName"
	paramPool              = "pool"
	featureLayering        = "layering"
	featureExclusiveLock   = "exclusive-lock"
)

// parser reads parameters and collects the mistakes.
type parser struct {
	params map[string]string
	path   *field.Path
	errs   field.ErrorList
}

// common reads what both kinds of classes have.
func (p *parser) common(class *Class) {
	class.ClusterID = p.required(paramClusterID)
	class.NodeStageSecret = p.secret(paramNodeStageSecret, true)
	class.ProvisionerSecret = p.secret(paramProvisionerSecret, false)
	if _, ok := p.params[paramTopologyPools]; ok {
		p.invalid(paramTopologyPools, "a migratable volume has one pool, the same for every node and in every cluster; use a class with a pool")
	}
	if _, ok := p.params[paramTopologyClusters]; ok {
		p.invalid(paramTopologyClusters, "a migratable volume is on one Ceph, the same for every node and in every cluster; use a class with one clusterID")
	}
	if value, ok := p.params[paramEncrypted]; ok {
		if encrypted, err := strconv.ParseBool(value); err != nil || encrypted {
			p.invalid(paramEncrypted, "ceph-csi cannot open an encrypted volume by a static PersistentVolume; use a class without encryption")
		}
	}
}

func (p *parser) rbd(class *Class) *RBD {
	class.Attributes = p.existing("mounter", "mapOptions", "unmapOptions", "tryOtherMounters")
	rbd := &RBD{
		Pool: p.required(paramPool),
		Layout: ceph.Layout{
			Features:    p.features(),
			DataPool:    p.params["dataPool"],
			ObjectSize:  p.number("objectSize"),
			StripeUnit:  p.number("stripeUnit"),
			StripeCount: p.number("stripeCount"),
		},
		FSType: p.params[paramFSType],
	}
	if err := rbd.Layout.Validate(); err != nil {
		p.errs = append(p.errs, field.Invalid(p.path, class.Name, err.Error()))
	}
	return rbd
}

// cephFS reads what only a CephFS class has. Without fsName, ceph-csi takes the
// Ceph cluster's default, which somebody can change.
func (p *parser) cephFS(class *Class) *CephFS {
	class.Attributes = p.existing("mounter", "kernelMountOptions", "fuseMountOptions")
	if p.params[paramFilesystem] == "" {
		p.errs = append(p.errs, field.Required(p.path.Key(paramFilesystem), "a migratable volume is in the same file system for every cluster, and the default one may change; name it"))
	}
	return &CephFS{Filesystem: p.params[paramFilesystem], DataPool: p.params[paramPool]}
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
