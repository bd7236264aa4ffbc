package guard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// Events notes refusals where people look for them.
type Events interface {
	Refused(object client.Object, message string)
}

// Waiting hears of workloads whose pods were refused because of these volumes.
type Waiting interface {
	Refused(object client.Object, all []volumes.Volume)
}

// Handler is an endpoint as controller-runtime serves it.
type Handler struct {
	// Name is the endpoint's, for metrics and logs.
	Name     string
	Endpoint Endpoint
	// Limit is how long an answer may take. It is below the timeout in the webhook's configuration,
	// so that people see our message and not a timeout.
	Limit   time.Duration
	Metrics *Metrics
	Events  Events
	// Waiting may be nil.
	Waiting Waiting
	Log     logr.Logger
	Now     func() time.Time
	// Help is the address of docs/troubleshooting.md. Each refusal ends with it and its section; if
	// Help is empty, it does not.
	Help string

	flood flood
}

// Handle answers within the limit, and notes what it answered.
func (h *Handler) Handle(ctx context.Context, request admission.Request) admission.Response {
	begin := h.Now()
	ctx, cancel := context.WithTimeout(ctx, h.Limit)
	defer cancel()
	answer, object := h.Endpoint(ctx, request)
	h.Metrics.decided(h.Name, answer, h.Now().Sub(begin))
	if answer.Result != Allowed {
		h.log(request, answer)
		answer.Message = helped(answer.Message, h.Help, answer.Reason)
		dryRun := request.DryRun != nil && *request.DryRun
		if object != nil && !dryRun {
			h.Events.Refused(object, answer.Message)
			// With these reasons the image looks free to the waker, so it would wake the workload
			// again and again, until a person has acted.
			if h.Waiting != nil && answer.Reason != OtherName && answer.Reason != OtherNode {
				h.Waiting.Refused(object, answer.Volumes)
			}
		}
	}
	return response(answer)
}

// log writes a line, unless one that says the same was written a short while ago.
func (h *Handler) log(request admission.Request, answer Answer) {
	equal := []any{"endpoint", h.Name, "result", answer.Result, "reason", answer.Reason, "namespace", request.Namespace}
	message := []any{"resource", request.Resource.Resource, "user", request.UserInfo.Username}
	key := fmt.Sprint(slices.Concat(equal, message, []any{answer.Message})...)
	first := h.flood.comes(key, func(times int) {
		h.Log.Info("refused again", slices.Concat(equal, message, []any{"times", times, "within", floodWindow.String(), "message", answer.Message})...)
	})
	if first {
		h.Log.Info("refused", slices.Concat(equal, []any{"name", request.Name}, message, []any{"uid", request.UID, "message", answer.Message})...)
	}
}

// response is the answer in the API server's terms. Conflict must never be one of
// them: kubectl scale would retry for five minutes and swallow the message.
func response(answer Answer) admission.Response {
	r := admission.Allowed(string(answer.Reason)).WithWarnings(answer.Warnings...)
	r.AuditAnnotations = audited(answer)
	if answer.Result == Allowed {
		return r
	}
	r.Allowed = false
	// The API server puts its own words before the message, on the same line.
	r.Result.Message = "\n" + answer.Message
	switch {
	case answer.Result == Denied:
		r.Result.Code, r.Result.Reason = http.StatusForbidden, metav1.StatusReasonForbidden
	case answer.Reason == Malformed:
		r.Result.Code, r.Result.Reason = http.StatusBadRequest, metav1.StatusReasonBadRequest
	default:
		r.Result.Code, r.Result.Reason = http.StatusInternalServerError, metav1.StatusReasonInternalError
	}
	return r
}
