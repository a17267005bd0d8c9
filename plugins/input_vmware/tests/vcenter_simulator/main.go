// SPDX-License-Identifier: GPL-2.0-or-later

// A vCenter to test against: govmomi's simulator, with datastore files behind a login as the real one has them.
//
// It prints its URL and the directory of the datastore. What the simulator has not, and this adds:
//   - /folder answers only to a session that has logged in (401 otherwise), by cookie or by basic authentication, and
//     unquotes the names of datacenter and datastore twice, as the real one does;
//   - a user without any role (stranger@vsphere.local), whose login lacks a privilege;
//   - POST /control/expire ends all sessions, for /folder and for SOAP's side of the tests' own bookkeeping;
//   - GET /control/count returns the number of logins, and GET /control/sessions that of sessions not logged out;
//   - POST /control/folder?status=N makes /folder answer with that status, 0 with files again;
//   - POST /control/consolidate?vm=M says of a machine that its disks need consolidation;
//   - POST /control/map?vm=M&mode=physicalMode makes raw device mappings of the disks of a machine;
//   - POST /control/vapp?vm=M puts a machine into a vApp (DC0_C0_APP0), where it has no folder;
//   - POST /control/forbid?vm=M takes away the privilege to read the configuration of a machine;
//   - POST /control/changed?vm=M gives the configuration of a machine another version;
//   - exports: see export.go.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

type gate struct {
	sync.Mutex
	next           http.Handler
	user, password string
	sessions       map[string]bool
	logins         int
	changes        int
	folderStatus   int
	forbidden      map[string]bool
	exports        *exports
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
	case strings.HasPrefix(r.URL.Path, "/control/"):
		g.control(w, r)
	case strings.HasPrefix(r.URL.Path, "/folder"):
		g.folder(w, r)
	case strings.HasPrefix(r.URL.Path, "/export/"):
		g.exports.send(w, r)
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(">stranger@vsphere.local<")) {
			answer(w, http.StatusInternalServerError, noRole)
			return
		}
		if vm := g.forbids(body); vm != "" {
			answer(w, http.StatusOK, fmt.Sprintf(noConfiguration, vm))
			return
		}
		if g.exports.soap(w, r, body, g.admitted(r)) {
			return
		}
		if logoutCall.Match(body) {
			g.Lock()
			delete(g.sessions, sessionOf(r))
			g.Unlock()
		}
		g.next.ServeHTTP(admit{w, g}, r)
	}
}

func (g *gate) control(w http.ResponseWriter, r *http.Request) {
	g.Lock()
	defer g.Unlock()
	vm := types.ManagedObjectReference{Type: "VirtualMachine", Value: r.URL.Query().Get("vm")}
	switch strings.TrimPrefix(r.URL.Path, "/control/") {
	case "expire":
		g.sessions = map[string]bool{}
	case "count":
		fmt.Fprint(w, g.logins)
	case "sessions":
		fmt.Fprint(w, len(g.sessions))
	case "folder":
		g.folderStatus, _ = strconv.Atoi(r.URL.Query().Get("status"))
	case "consolidate":
		needed := true
		simulator.Map.Get(vm).(*simulator.VirtualMachine).Runtime.ConsolidationNeeded = &needed
	case "map":
		for _, each := range simulator.Map.Get(vm).(*simulator.VirtualMachine).Config.Hardware.Device {
			if disk, ok := each.(*types.VirtualDisk); ok {
				file := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo).GetVirtualDeviceFileBackingInfo()
				disk.Backing = &types.VirtualDiskRawDiskMappingVer1BackingInfo{
					VirtualDeviceFileBackingInfo: *file,
					CompatibilityMode:            r.URL.Query().Get("mode"),
					DiskMode:                     "persistent",
				}
			}
		}
	case "vapp":
		app := simulator.Map.Any("VirtualApp").Reference()
		machine := simulator.Map.Get(vm).(*simulator.VirtualMachine)
		machine.Parent, machine.ParentVApp = nil, &app
	case "forbid":
		g.forbidden[vm.Value] = true
	case "changed":
		g.changes++
		simulator.Map.Get(vm).(*simulator.VirtualMachine).Config.ChangeVersion = fmt.Sprint(g.changes)
	case "export":
		g.exports.set(r.URL.Query())
	case "leases":
		g.exports.list(w)
	default:
		http.NotFound(w, r)
	}
}

func (g *gate) folder(w http.ResponseWriter, r *http.Request) {
	if !g.admitted(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	g.Lock()
	status := g.folderStatus
	g.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	query := r.URL.Query()
	for _, name := range []string{"dcPath", "dsName"} {
		unquoted, err := url.QueryUnescape(query.Get(name))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		query.Set(name, unquoted)
	}
	r.URL.RawQuery = query.Encode()
	g.next.ServeHTTP(w, r)
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

// forbids gives the machine whose configuration is asked for and may not be read.
func (g *gate) forbids(body []byte) string {
	g.Lock()
	defer g.Unlock()
	for vm := range g.forbidden {
		if bytes.Contains(body, []byte(">"+vm+"<")) && bytes.Contains(body, []byte(">config<")) {
			return vm
		}
	}
	return ""
}

// envelope is what SOAP answers are put into.
const envelope = `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body>%s</soapenv:Body></soapenv:Envelope>`

// noConfiguration is the answer of the property collector to a user who lacks the privilege.
const noConfiguration = `<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects>
<obj type="VirtualMachine">%[1]s</obj><missingSet><path>config</path><fault>
<fault xsi:type="NoPermission"><object type="VirtualMachine">%[1]s</object><privilegeId>System.Read</privilegeId></fault>
<localizedMessage>Permission to perform this operation was denied.</localizedMessage></fault></missingSet>
</objects></returnval></RetrievePropertiesExResponse>`

// noRole is the answer of the session manager to a user who has no role anywhere.
const noRole = `<soapenv:Fault><faultcode>ServerFaultCode</faultcode>
<faultstring>Permission to perform this operation was denied.</faultstring><detail>
<NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission"><object type="Folder">group-d1</object>
<privilegeId>System.View</privilegeId></NoPermissionFault></detail></soapenv:Fault>`

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, envelope, body)
}

func main() {
	certificate := flag.String("certificate", "", "PEM file of the server's certificate")
	key := flag.String("key", "", "PEM file of its key")
	user := flag.String("user", "administrator@vsphere.local", "who may log in")
	passwordFile := flag.String("password-file", "", "file with the password")
	esx := flag.Bool("esx", false, "be an ESXi host, not a vCenter")
	datacenters := flag.Int("datacenters", 1, "how many datacenters a vCenter has")
	name := flag.String("datastore", "", "name of the datastore")
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
	if !*esx {
		model.Datacenter, model.App = *datacenters, 1
	}
	model.Machine, model.Autostart = 0, false
	// the simulator's own is too old for TPMs
	model.ServiceContent.About.ApiVersion = "7.0.0.0"
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()
	g := &gate{
		user:      *user,
		password:  strings.TrimSpace(string(password)),
		sessions:  map[string]bool{},
		forbidden: map[string]bool{},
		exports:   newExports(),
	}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(g.user, g.password)}
	server := model.Service.NewServer()
	g.next = server.Config.Handler
	server.Config.Handler = g
	datastore := simulator.Map.Any("Datastore").(*simulator.Datastore)
	if *name != "" {
		datastore.Name, datastore.Summary.Name, datastore.Info.GetDatastoreInfo().Name = *name, *name, *name
	}
	g.exports.host, g.exports.root = "localhost:"+server.URL.Port(), datastore.Info.GetDatastoreInfo().Url
	fmt.Printf("%s\n%s\n", server.URL.Host, datastore.Info.GetDatastoreInfo().Url)

	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt)
	<-stopped
	server.Close()
}
