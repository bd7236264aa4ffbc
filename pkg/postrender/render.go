package postrender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/manifest"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Renderer renders streams.
type Renderer struct {
	// Namespace returns the release's namespace. It is called only for objects
	// that do not name theirs.
	Namespace func(context.Context) (string, error)
	// Classes lists the StorageClasses. It is called only if there is a
	// migratable claim to render.
	Classes storageclass.Source
	// Images returns what makes the images. It is called only if there are any.
	Images func(context.Context) (Images, error)
	// Select picks claims and claim templates besides those that are annotated.
	Select []Selector
}

// Render reads manifests and writes them with the pairs in place. On an error
// nothing is written. The notes say what was done besides.
func (r Renderer) Render(ctx context.Context, in io.Reader, out io.Writer) (notes []string, err error) {
	stream, err := readAll(in)
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	documents, err := split(stream, len(r.Select) > 0)
	if err != nil {
		return nil, err
	}
	p := newPlanner(ctx, r)
	p.plan(objects(documents))
	p.mistakes = append(p.mistakes, p.selection.mistakes(len(documents))...)
	if p.outage != nil {
		return nil, p.outage
	}
	if err := p.mistakes.err(); err != nil {
		return nil, err
	}
	if len(p.pairs) == 0 {
		return nil, write(out, []manifest.Document{{Body: stream}})
	}
	images, err := r.Images(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.ensure(ctx, images); err != nil {
		return p.notes, err
	}
	if err := p.splice(); err != nil {
		return p.notes, err
	}
	rendered, err := rewrite(documents)
	if err != nil {
		return p.notes, err
	}
	return p.notes, write(out, rendered)
}

func write(out io.Writer, documents []manifest.Document) error {
	if err := manifest.Write(out, documents); err != nil {
		return fmt.Errorf("write manifests: %w", err)
	}
	return nil
}

// firstBuffer is larger than most streams. Memory that is not touched costs nothing, and
// growing a buffer copies it.
const firstBuffer = 8 << 20

// readAll is io.ReadAll with a buffer that most streams fit in.
func readAll(in io.Reader) ([]byte, error) {
	stream := newBuffer(firstBuffer)
	for {
		n, err := in.Read(stream[len(stream):cap(stream)])
		stream = stream[:len(stream)+n]
		if errors.Is(err, io.EOF) {
			return stream, nil
		} else if err != nil {
			return stream, err
		}
		if len(stream) == cap(stream) {
			stream = append(newBuffer(2*len(stream)), stream...)
		}
	}
}

// claimKey names a claim as the manifests do: the namespace is empty where Helm
// fills it in.
type claimKey struct{ namespace, name string }

// planner collects what a run is going to do.
type planner struct {
	selection *selection
	mistakes  Mistakes
	// outage is why the classes could not be read. It is nobody's mistake, and
	// the mistakes found without the classes are not all there are.
	outage    error
	pairs     []*pair
	templates []*template
	notes     []string

	// volumes and claims are the static pairs that the stream has already: PVs
	// by name, and volume names by claim.
	volumes map[string]*corev1.PersistentVolume
	claims  map[claimKey]string
	// images are the labels of the objects that use an image.
	images map[string]string

	// release returns the release's namespace, class the settings of a class;
	// both remember their answer.
	release func() (string, error)
	class   func(name string) (*storageclass.Class, error)
}

func newPlanner(ctx context.Context, r Renderer) *planner {
	classes := once(func(struct{}) ([]storagev1.StorageClass, error) { return r.Classes(ctx) })
	release := once(func(struct{}) (string, error) { return r.Namespace(ctx) })
	p := &planner{
		selection: newSelection(r.Select),
		volumes:   map[string]*corev1.PersistentVolume{},
		claims:    map[claimKey]string{},
		images:    map[string]string{},
		release:   func() (string, error) { return release(struct{}{}) },
	}
	p.class = once(func(name string) (*storageclass.Class, error) {
		all, err := classes(struct{}{})
		if err != nil {
			p.outage = err
			return nil, err
		}
		found, err := storageclass.Find(all, name)
		if err != nil {
			return nil, err
		}
		class, errs := storageclass.Settings(all, found)
		if len(errs) > 0 {
			return nil, fmt.Errorf("StorageClass %q cannot be used: %s", found.Name, joined(errs))
		}
		return &class, nil
	})
	return p
}

// once makes a function remember its answer for each argument.
func once[K comparable, V any](f func(K) (V, error)) func(K) (V, error) {
	type answer struct {
		value V
		err   error
	}
	answers := map[K]answer{}
	return func(key K) (V, error) {
		a, ok := answers[key]
		if !ok {
			a.value, a.err = f(key)
			answers[key] = a
		}
		return a.value, a.err
	}
}

func joined(errs field.ErrorList) string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

// plan looks at all objects: first at the pairs that are there already, then at
// the claims to render.
func (p *planner) plan(all []object) {
	for _, o := range all {
		p.note(o)
	}
	for _, o := range all {
		switch {
		case o.isClaim(), o.isStatefulSet():
			p.planOwn(o)
		case o.isCustom():
			p.refuseCustom(o)
		case o.isWorkload() && o.in.mentions:
			p.mistakes.add(o.label(o.namespace()), stray(o)...)
		}
	}
}

// planOwn plans the pairs of a PVC or a StatefulSet.
func (p *planner) planOwn(o object) {
	found, err := ownClaims(o)
	picked := make([]string, len(found))
	concerned := o.in.mentions
	for i, c := range found {
		picked[i] = p.selection.pick(o, c.claim)
		concerned = concerned || picked[i] != ""
	}
	if !concerned {
		return
	}
	if errs := misshapen(o); len(errs) > 0 {
		p.mistakes.addAll(o.label(o.namespace()), errs)
		return
	}
	switch {
	case err != nil:
		p.mistakes = append(p.mistakes, Mistake{o.label(""), err})
	case o.isClaim():
		p.planClaim(found[0], picked[0] != "")
	default:
		p.planStatefulSet(o, found, picked)
	}
}

// refuseCustom reports claim templates of a custom resource that need a volume: their
// claims have names that only the operator knows.
func (p *planner) refuseCustom(o object) {
	for _, template := range o.customTemplates() {
		p.selection.pick(o, &template.claim)
		if name := claims.ClassName(&template.claim); template.claim.Annotations[annotations.Migratable] == "true" && (name == nil || *name != "") {
			p.mistakes.add(o.label(o.namespace()), field.Forbidden(claims.AnnotationPath(template.field, annotations.Migratable), "an operator names the claims of this template, so no pair can be rendered in advance; render with --create cluster"))
		}
	}
}

// note remembers the PVs and claims of existing pairs. What cannot be decoded is
// no pair; planClaim reports a claim like that.
func (p *planner) note(o object) {
	switch {
	case o.is("v1", "PersistentVolume"):
		var pv corev1.PersistentVolume
		if o.decode(&pv) == nil {
			p.volumes[pv.Name] = &pv
		}
	case o.isClaim():
		var claim corev1.PersistentVolumeClaim
		if o.decode(&claim) == nil && claim.Spec.VolumeName != "" {
			p.claims[claimKey{claim.Namespace, claim.Name}] = claim.Spec.VolumeName
		}
	}
}
