// SPDX-License-Identifier: GPL-2.0-or-later

// A vCenter to test against: govmomi's simulator, with datastore files behind a login as the real one has them.
//
// It prints its URL and the directory of the datastore. What the simulator has not, and this adds:
//   - /folder answers only to a session that has logged in (401 otherwise), by cookie or by basic authentication;
//   - POST /control/expire ends all sessions, for /folder and for SOAP's side of the tests' own bookkeeping;
//   - GET /control/count tells how often somebody has logged in.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
)

type gate struct {
	sync.Mutex
	next           http.Handler
	user, password string
	sessions       map[string]bool
	logins         int
}

const cookieName = "vmware_soap_session"

// admit notes the sessions that answers to SOAP requests hand out.
type admit struct {
	http.ResponseWriter
	gate *gate
}

func (a admit) WriteHeader(status int) {
	for _, line := range a.Header()["Set-Cookie"] {
		header := http.Header{"Set-Cookie": {line}}
		for _, cookie := range (&http.Response{Header: header}).Cookies() {
			if cookie.Name == cookieName && cookie.Value != "" && cookie.MaxAge >= 0 {
				a.gate.Lock()
				a.gate.sessions[strings.Trim(cookie.Value, `"`)] = true
				a.gate.logins++
				a.gate.Unlock()
			}
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/control/expire":
		g.Lock()
		g.sessions = map[string]bool{}
		g.Unlock()
	case r.URL.Path == "/control/count":
		g.Lock()
		fmt.Fprint(w, g.logins)
		g.Unlock()
	case strings.HasPrefix(r.URL.Path, "/folder"):
		if !g.admitted(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		g.next.ServeHTTP(w, r)
	default:
		g.next.ServeHTTP(admit{w, g}, r)
	}
}

func (g *gate) admitted(r *http.Request) bool {
	g.Lock()
	defer g.Unlock()
	if cookie, err := r.Cookie(cookieName); err == nil && g.sessions[strings.Trim(cookie.Value, `"`)] {
		return true
	}
	user, password, ok := r.BasicAuth()
	return ok && user == g.user && password == g.password
}

func main() {
	certificate := flag.String("certificate", "", "PEM file of the server's certificate")
	key := flag.String("key", "", "PEM file of its key")
	user := flag.String("user", "administrator@vsphere.local", "who may log in")
	passwordFile := flag.String("password-file", "", "file with the password")
	esx := flag.Bool("esx", false, "be an ESXi host, not a vCenter")
	flag.Parse()

	password, err := os.ReadFile(*passwordFile)
	if err != nil {
		log.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	model := simulator.VPX()
	if *esx {
		model = simulator.ESX()
	}
	model.Machine, model.Autostart = 0, false
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()
	g := &gate{user: *user, password: strings.TrimSpace(string(password)), sessions: map[string]bool{}}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(g.user, g.password)}
	server := model.Service.NewServer()
	g.next = server.Config.Handler
	server.Config.Handler = g
	datastore := simulator.Map.Any("Datastore").(*simulator.Datastore)
	fmt.Printf("%s\n%s\n", server.URL.Host, datastore.Info.GetDatastoreInfo().Url)

	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt)
	<-stopped
	server.Close()
}
