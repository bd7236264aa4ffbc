package helmrender

import (
	"bytes"
	"io"

	helm "helm.sh/helm/v3/pkg/postrender"

	"github.com/cephferry/cephferry/pkg/postrender"
)

var _ helm.PostRenderer = Renderer(nil)

// Renderer is a function that renders manifests, as Helm's PostRenderer. What it
// wrote before it returned an error is thrown away. A program that renders pairs
// itself converts a function that calls [postrender.Renderer] to it; that function
// holds the context, for Helm hands none over.
type Renderer func(in io.Reader, out io.Writer) error

// ForCluster returns [postrender.ForCluster] as Helm's PostRenderer: it prepares the
// migratable claims of a release for the cluster, which makes their volumes. It needs
// no namespace, no cluster and no Ceph, and may be used by several goroutines at once.
// Selectors pick claims besides those that are annotated. What a person should know of a
// run that succeeds is in the notes of [postrender.List].
func ForCluster(selectors ...postrender.Selector) Renderer {
	return func(in io.Reader, out io.Writer) error {
		_, err := postrender.ForCluster(in, out, selectors...)
		return err
	}
}

// Run implements Helm's PostRenderer. Helm wraps the error, so that a program finds
// the single mistakes with errors.As and a [postrender.Mistakes].
func (r Renderer) Run(manifests *bytes.Buffer) (*bytes.Buffer, error) {
	var rendered bytes.Buffer
	// Helm stores and shows a buffer that comes with an error as the release's manifest.
	if err := r(manifests, &rendered); err != nil {
		return nil, err
	}
	return &rendered, nil
}
