//go:build linux

package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// Reply is how the webhook answered, without the API server between.
type Reply struct {
	Allowed bool
	Code    int32
	// Message is the reason in metrics when it is allowed. That of a refusal is without its last
	// line, [Unhelped]; one without it is a problem.
	Message string
	Took    time.Duration
	Problem error
}

// Send sends a body to an endpoint.
func (w *Webhook) Send(endpoint, body string) (r Reply) {
	begin := time.Now()
	defer func() { r.Took = time.Since(begin) }()
	response, err := w.Client.Post(w.URL+"/validate/"+endpoint, "application/json", strings.NewReader(body))
	if err != nil {
		return Reply{Problem: err}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return Reply{Problem: err}
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(data, &review); err != nil || review.Response == nil {
		return Reply{Problem: fmt.Errorf("%s: %q is no review: %w", response.Status, data, err)}
	}
	r = Reply{Allowed: review.Response.Allowed}
	if review.Response.Result != nil {
		r.Code, r.Message = review.Response.Result.Code, strings.TrimPrefix(review.Response.Result.Message, "\n")
	}
	// What cannot be read is nobody's refusal: only the API server sends reviews.
	if !r.Allowed && r.Code != http.StatusBadRequest {
		var helped bool
		if r.Message, helped = Unhelped(r.Message); !helped {
			r.Problem = fmt.Errorf("the refusal does not say where to read on: %q", data)
		}
	}
	return r
}

// All sends reviews at the same time.
func (w *Webhook) All(endpoint string, bodies []string) []Reply {
	replies := make([]Reply, len(bodies))
	var group sync.WaitGroup
	for i, body := range bodies {
		group.Go(func() { replies[i] = w.Send(endpoint, body) })
	}
	group.Wait()
	return replies
}

// Review is a review with this request.
func Review(request string) string {
	return `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "0a1b", "userInfo": {"username": "somebody"}, ` + request + `}}`
}
