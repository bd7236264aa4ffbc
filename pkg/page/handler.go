package page

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The resources of which a requester sees those that they may list.
const (
	Volumes   = "migratablevolumes"
	Clusters  = "ferryclusters"
	Takeovers = "takeovers"
)

// Viewer is who asks for the page.
type Viewer interface {
	// MayList reports whether they may list a resource of cephferry.io in a namespace; an
	// empty one stands for all namespaces, and for what has none.
	MayList(ctx context.Context, resource, namespace string) (bool, error)
}

// ErrUnauthenticated is for a request of which nobody knows whose it is.
var ErrUnauthenticated = errors.New("who asks is not known")

const (
	// limit bounds one answer. The first one has to wait for a list of all volumes.
	limit = 20 * time.Second
	// worthwhile is from how many bytes on an answer is compressed.
	worthwhile = 1000
)

// policy lets the page load nothing but its own files, and be framed by nobody.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed static
var static embed.FS

// Page is the page as an http.Handler. Its paths are relative to wherever it is mounted, so
// that it can be served below any prefix that somebody strips.
type Page struct {
	// Cluster is the name of this cluster, for the heading.
	Cluster string
	// Identify returns who asks, or an error that wraps ErrUnauthenticated.
	Identify func(*http.Request) (Viewer, error)
	// Look has the objects.
	Look *Look
	// API reads one object as it is now.
	API client.Reader
	Log logr.Logger
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page only shows; use kubectl", http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	r = r.WithContext(ctx)
	viewer, err := p.Identify(r)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/"); ok {
		answer, err := p.answer(r, viewer, name)
		if err == nil {
			err = send(w, r, answer)
		}
		if err != nil {
			p.refuse(w, r, err)
		}
		return
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	http.ServeFileFS(w, r, files, cmp.Or(strings.TrimPrefix(r.URL.Path, "/"), "index.html"))
}

// answer is what is sent for a path below /api/.
func (p *Page) answer(r *http.Request, viewer Viewer, path string) (any, error) {
	switch parts := strings.Split(path, "/"); {
	case path == "overview":
		return p.overview(r.Context(), viewer)
	case path == "volumes":
		query, err := parseQuery(r.URL.Query())
		if err != nil {
			return nil, err
		}
		return p.volumes(r.Context(), viewer, query)
	case len(parts) == 3 && parts[0] == "volumes":
		return p.volume(r.Context(), viewer, client.ObjectKey{Namespace: parts[1], Name: parts[2]})
	default:
		return nil, problem{http.StatusNotFound, fmt.Sprintf("there is no %q here", path)}
	}
}

// problem is an answer that is not what was asked for.
type problem struct {
	code    int
	message string
}

func (p problem) Error() string { return p.message }

// refuse says why there is no answer. An outage is never reported as somebody's lack of
// rights.
func (p *Page) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // nobody waits for it any more
	}
	var known problem
	switch {
	case errors.As(err, &known):
	case errors.Is(err, ErrUnauthenticated):
		known = problem{http.StatusUnauthorized, err.Error()}
	case meta.IsNoMatchError(err):
		known = problem{http.StatusServiceUnavailable, "this cluster does not have cephferry's objects; install its CRDs (chart value crds.enabled)"}
	case apierrors.IsNotFound(err):
		known = problem{http.StatusNotFound, err.Error()}
	default:
		p.Log.Error(err, "cannot answer", "path", r.URL.Path)
		known = problem{http.StatusServiceUnavailable, "the API server gave no answer: " + err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(known.code)
	// What cannot be sent, the client does not see either way.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": known.message})
}

// send sends the answer, unless the client has it already: pages that are open ask every
// other second.
func send(w http.ResponseWriter, r *http.Request, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	sum := sha256.Sum256(body)
	header := w.Header()
	// Weak, because the bytes differ when they are compressed. Any replica gives the same.
	header.Set("ETag", `W/"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`)
	header.Set("Vary", "Accept-Encoding, Authorization")
	if r.Header.Get("If-None-Match") == header.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	header.Set("Content-Type", "application/json")
	if len(body) >= worthwhile && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		if _, err := zip.Write(body); err != nil {
			return err
		}
		if err := zip.Close(); err != nil {
			return err
		}
		header.Set("Content-Encoding", "gzip")
		body = packed.Bytes()
	}
	// As above: there is nobody to tell.
	_, _ = w.Write(body)
	return nil
}
