package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

// TestThroughTheWebhook: what the API server is asked for, and that it gets the token in a
// header too that it passes on.
func TestThroughTheWebhook(t *testing.T) {
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.Join([]string{
			r.Method, r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("Cephferry-Authorization"), r.Header.Get("If-None-Match"), r.Header.Get("Cookie"),
		}, " | "))
		w.Header().Set("ETag", `"2"`)
		io.WriteString(w, "the page")
	}))
	defer api.Close()
	handler, err := throughService(t.Context(), &rest.Config{Host: api.URL, BearerToken: "alice's"}, "storage/ferry")
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/volumes?q=shop", nil)
	request.Header.Set("If-None-Match", `"1"`)
	request.Header.Set("Cookie", "other=site")
	request.Header.Set("Authorization", "Bearer the browser's")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK || recorder.Body.String() != "the page" || recorder.Header().Get("ETag") != `"2"` {
		t.Errorf("got %d %s", recorder.Code, recorder.Body)
	}
	const proxy = "/api/v1/namespaces/storage/services/https:ferry:page/proxy"
	if diff := cmp.Diff([]string{
		"GET | " + proxy + "/ | Bearer alice's | Bearer alice's |  | ",
		"GET | " + proxy + "/api/volumes?q=shop | Bearer alice's | Bearer alice's | \"1\" | ",
	}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestNoPageThroughTheWebhook(t *testing.T) {
	for name, test := range map[string]struct {
		service string
		as      string
		code    int
		says    string
	}{
		"a Service without a namespace": {service: "cephferry", says: "--service cephferry: must be namespace/name"},
		"a path":                        {service: "a/b/c", says: "must be namespace/name"},
		"somebody else":                 {service: "a/b", as: "bob", says: `the webhook would see your own token, and not "bob"`},
		"no token":                      {service: "a/b", code: http.StatusUnauthorized, says: "it needs a token"},
		"no right":                      {service: "a/b", code: http.StatusForbidden, says: "you may not get /api/v1/namespaces/a/services/https:b:page/proxy"},
		"no Service":                    {service: "a/b", code: http.StatusNotFound, says: "404 Not Found"},
		"no webhook":                    {service: "a/b", code: http.StatusServiceUnavailable, says: "leave out --through-webhook"},
	} {
		t.Run(name, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.code) }))
			defer api.Close()
			config := &rest.Config{Host: api.URL, Impersonate: rest.ImpersonationConfig{UserName: test.as}}
			if _, err := throughService(t.Context(), config, test.service); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want that it says %q", err, test.says)
			}
		})
	}
}

func TestOnlyTheOwnBrowserGetsThePage(t *testing.T) {
	handler := guarded("127.0.0.1:8001", "/secret", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "at "+r.URL.Path) }))
	for name, test := range map[string]struct {
		method, host, path string
		code               int
		says               string
	}{
		"the address":             {http.MethodGet, "127.0.0.1:8001", "/secret/", http.StatusOK, "at /"},
		"a path below it":         {http.MethodGet, "localhost:8001", "/secret/api/volumes", http.StatusOK, "at /api/volumes"},
		"without the secret":      {http.MethodGet, "127.0.0.1:8001", "/api/volumes", http.StatusNotFound, "not the address"},
		"with a part of it":       {http.MethodGet, "127.0.0.1:8001", "/secretive/", http.StatusNotFound, "not the address"},
		"a name that leads here":  {http.MethodGet, "page.example.com:8001", "/secret/", http.StatusNotFound, "not the address"},
		"another port's":          {http.MethodGet, "127.0.0.1", "/secret/", http.StatusNotFound, "not the address"},
		"nothing changes by this": {http.MethodPost, "127.0.0.1:8001", "/secret/api/volumes", http.StatusMethodNotAllowed, "only shows"},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequestWithContext(t.Context(), test.method, test.path, nil)
			request.Host = test.host
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if recorder.Code != test.code || !strings.Contains(recorder.Body.String(), test.says) {
				t.Errorf("%d %s, want %d %s", recorder.Code, recorder.Body, test.code, test.says)
			}
		})
	}
}
