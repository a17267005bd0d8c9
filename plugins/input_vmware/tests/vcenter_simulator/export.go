// SPDX-License-Identifier: GPL-2.0-or-later

// Exports of virtual machines (HttpNfcLease), which govmomi's simulator has not: it answers ExportVm and ExportSnapshot
// of the running simulator, and sends the streams that the tests have put beside the disks (NAME-export.vmdk).
//
// As at a real server: a lease belongs to the session that took it and ends with it; it initializes first; it lives for
// leaseTimeout seconds without a sign of life, and its downloads are cut at its end; a machine that is running, or is
// being exported, is refused; the URLs of streams need no cookie; a stream has no announced length.
//
// POST /control/export?… sets, for all exports from then on:
//   - timeout=N seconds that a lease lives; prepare=N milliseconds that it initializes; refuse=error|hang;
//   - cut=N,times=T: the next T downloads of a disk after the first N bytes end with the connection; short=N,times=T:
//     they end as if they were complete; flip=N,times=T: their byte N is changed; status=N,times=T; stall=N,times=T;
//   - digest=wrong: the manifest has another SHA-256; manifest=none: there is none; rate=N bytes per second;
//   - disk=NAME: only this file has these faults; sender=HOST: in the URLs, * for any; thumbprint=T: of that host.
//
// GET /control/leases returns a line for each lease: id, state, signs of life, percent, most downloads at once.
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type exports struct {
	sync.Mutex
	number     int
	leases     []*lease
	faults     url.Values
	times      map[string]int
	host, root string
}

// lease is a managed object: the property collector of the simulator reads its exported fields.
type lease struct {
	mo.HttpNfcLease
	all       *exports
	owner     string
	vm        types.ManagedObjectReference
	files     map[string]string
	keys      map[string]string
	sent      map[string]types.HttpNfcLeaseManifestEntry
	renewed   time.Time
	lives     time.Duration
	signs     int
	now, most int
	ended     chan struct{}
	sha256    bool
}

var exportCall = regexp.MustCompile(`<(?:\w+:)?Export(Vm|Snapshot)[ >]`)
var thisObject = regexp.MustCompile(`<_this[^>]*>([^<]+)</_this>`)
var leaseObject = regexp.MustCompile(`type="HttpNfcLease"[^>]*>([^<]+)<`)
var logoutCall = regexp.MustCompile(`<(?:\w+:)?Logout[ >]`)

func newExports() *exports {
	return &exports{faults: url.Values{}, times: map[string]int{}}
}

func sessionOf(r *http.Request) string {
	if cookie, err := r.Cookie(cookieName); err == nil {
		return strings.Trim(cookie.Value, `"`)
	}
	return ""
}

// soap answers what is about exports, and says whether it was.
func (e *exports) soap(w http.ResponseWriter, r *http.Request, body []byte, admitted bool) bool {
	session := sessionOf(r)
	if found := leaseObject.FindSubmatch(body); found != nil {
		if l := e.find(string(found[1])); l != nil && (l.owner != session || !admitted) {
			answer(w, http.StatusInternalServerError, fmt.Sprintf(gone, found[1]))
			return true
		}
		return false
	}
	if logoutCall.Match(body) {
		e.endOf(session)
		return false
	}
	call, this := exportCall.FindSubmatch(body), thisObject.FindSubmatch(body)
	if call == nil || this == nil || !admitted {
		return false
	}
	kind := string(call[1])
	vm, devices, fault := e.target(kind, string(this[1]))
	if fault != "" {
		answer(w, http.StatusInternalServerError, fault)
		return true
	}
	l := e.take(vm, devices, session)
	answer(w, http.StatusOK, fmt.Sprintf(taken, kind, l.Self.Value))
	return true
}

// target gives the machine that is exported and its devices, or the fault.
func (e *exports) target(kind, id string) (*simulator.VirtualMachine, []types.BaseVirtualDevice, string) {
	if kind == "Snapshot" {
		snapshot, ok := simulator.Map.Get(types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: id}).(*simulator.VirtualMachineSnapshot)
		if !ok {
			return nil, nil, fmt.Sprintf(gone, id)
		}
		vm := simulator.Map.Get(snapshot.Vm).(*simulator.VirtualMachine)
		return vm, vm.Config.Hardware.Device, ""
	}
	vm, ok := simulator.Map.Get(types.ManagedObjectReference{Type: "VirtualMachine", Value: id}).(*simulator.VirtualMachine)
	if !ok {
		return nil, nil, fmt.Sprintf(gone, id)
	}
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
		return nil, nil, invalidPowerState
	}
	for _, l := range e.all() {
		if l.vm == vm.Self && l.open() {
			return nil, nil, taskInProgress
		}
	}
	return vm, vm.Config.Hardware.Device, ""
}

func (e *exports) all() []*lease {
	e.Lock()
	defer e.Unlock()
	return append([]*lease{}, e.leases...)
}

func (e *exports) find(id string) *lease {
	for _, l := range e.all() {
		if l.Self.Value == id {
			return l
		}
	}
	return nil
}

func (e *exports) endOf(session string) {
	for _, l := range e.all() {
		if l.owner == session {
			l.end(types.HttpNfcLeaseStateError, "The session was ended.")
		}
	}
}

func (e *exports) fault(name string) (int, bool) {
	value := e.faults.Get(name)
	number, err := strconv.Atoi(value)
	return number, err == nil
}

func (e *exports) take(vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice, session string) *lease {
	e.Lock()
	defer e.Unlock()
	e.number++
	seconds, ok := e.fault("timeout")
	if !ok {
		seconds = 300
	}
	id := fmt.Sprintf("session[%d]lease-%d", len(session), e.number)
	l := &lease{
		all: e, owner: session, vm: vm.Self, renewed: time.Now(), lives: time.Duration(seconds) * time.Second,
		files: map[string]string{}, keys: map[string]string{}, sent: map[string]types.HttpNfcLeaseManifestEntry{},
		ended: make(chan struct{}),
	}
	l.Self = types.ManagedObjectReference{Type: "HttpNfcLease", Value: id}
	l.State = types.HttpNfcLeaseStateInitializing
	host := e.host
	if sender := e.faults.Get("sender"); sender != "" {
		host = sender + e.host[strings.LastIndex(e.host, ":"):]
	}
	controllers := map[int32]string{}
	for _, each := range devices {
		if controller, ok := each.(types.BaseVirtualController); ok {
			base := controller.GetVirtualController()
			kind := strings.TrimPrefix(fmt.Sprintf("%T", each), "*types.")
			controllers[base.Key] = fmt.Sprintf("%s%d", kind, base.BusNumber)
		}
	}
	isDisk, capacity := true, int64(0)
	var urls []types.HttpNfcLeaseDeviceUrl
	for _, each := range devices {
		disk, ok := each.(*types.VirtualDisk)
		if !ok {
			continue
		}
		file := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo).GetVirtualDeviceFileBackingInfo().FileName
		_, path, _ := strings.Cut(file, "] ")
		name := fmt.Sprintf("disk-%d.vmdk", len(urls))
		unit := int32(0)
		if disk.UnitNumber != nil {
			unit = *disk.UnitNumber
		}
		key := fmt.Sprintf("/%s/%s:%d", vm.Self.Value, controllers[disk.ControllerKey], unit)
		l.files[name] = filepath.Join(e.root, strings.TrimSuffix(path, ".vmdk")+"-export.vmdk")
		l.keys[name] = key
		capacity += disk.CapacityInKB
		place := fmt.Sprintf("https://%s/export/%d/%s", host, e.number, name)
		urls = append(urls, types.HttpNfcLeaseDeviceUrl{
			Key: key, Url: place, Disk: &isDisk, TargetId: name, SslThumbprint: e.faults.Get("thumbprint"),
		})
	}
	info := &types.HttpNfcLeaseInfo{
		Lease: l.Self, Entity: vm.Self, DeviceUrl: urls, TotalDiskCapacityInKB: capacity, LeaseTimeout: int32(seconds),
	}
	e.leases = append(e.leases, l)
	simulator.Map.Put(l)
	milliseconds, _ := e.fault("prepare")
	refuse := e.faults.Get("refuse")
	go l.prepare(time.Duration(milliseconds)*time.Millisecond, refuse, info)
	go l.watch()
	return l
}

func (l *lease) prepare(delay time.Duration, refuse string, info *types.HttpNfcLeaseInfo) {
	time.Sleep(delay)
	switch refuse {
	case "error":
		l.end(types.HttpNfcLeaseStateError, "Failed to open the disk: too many NFC connections.")
	case "hang":
	default:
		l.all.Lock()
		defer l.all.Unlock()
		if l.State == types.HttpNfcLeaseStateInitializing {
			l.Info, l.State, l.renewed = info, types.HttpNfcLeaseStateReady, time.Now()
		}
	}
}

// watch ends a lease that shows no sign of life.
func (l *lease) watch() {
	for {
		select {
		case <-l.ended:
			return
		case <-time.After(50 * time.Millisecond):
		}
		l.all.Lock()
		late := time.Since(l.renewed) > l.lives
		l.all.Unlock()
		if late {
			l.end(types.HttpNfcLeaseStateError, "The lease timed out.")
			return
		}
	}
}

func (l *lease) open() bool {
	l.all.Lock()
	defer l.all.Unlock()
	return l.State == types.HttpNfcLeaseStateInitializing || l.State == types.HttpNfcLeaseStateReady
}

func (l *lease) end(state types.HttpNfcLeaseState, why string) {
	l.all.Lock()
	defer l.all.Unlock()
	if l.State != types.HttpNfcLeaseStateInitializing && l.State != types.HttpNfcLeaseStateReady {
		return
	}
	l.State = state
	if why != "" {
		l.Error = &types.LocalizedMethodFault{Fault: &types.Timedout{}, LocalizedMessage: why}
	}
	close(l.ended)
}

func invalid(state types.HttpNfcLeaseState) *soap.Fault {
	return simulator.Fault(fmt.Sprintf("The lease is in the state %s.", state), &types.InvalidState{})
}

func (l *lease) HttpNfcLeaseComplete(req *types.HttpNfcLeaseComplete) soap.HasFault {
	if !l.open() {
		return &methods.HttpNfcLeaseCompleteBody{Fault_: invalid(l.State)}
	}
	l.end(types.HttpNfcLeaseStateDone, "")
	return &methods.HttpNfcLeaseCompleteBody{Res: new(types.HttpNfcLeaseCompleteResponse)}
}

func (l *lease) HttpNfcLeaseAbort(req *types.HttpNfcLeaseAbort) soap.HasFault {
	if !l.open() {
		return &methods.HttpNfcLeaseAbortBody{Fault_: invalid(l.State)}
	}
	l.end(types.HttpNfcLeaseStateError, "The lease was aborted.")
	return &methods.HttpNfcLeaseAbortBody{Res: new(types.HttpNfcLeaseAbortResponse)}
}

func (l *lease) HttpNfcLeaseProgress(req *types.HttpNfcLeaseProgress) soap.HasFault {
	if !l.open() {
		return &methods.HttpNfcLeaseProgressBody{Fault_: invalid(l.State)}
	}
	l.all.Lock()
	defer l.all.Unlock()
	l.signs, l.TransferProgress, l.renewed = l.signs+1, req.Percent, time.Now()
	return &methods.HttpNfcLeaseProgressBody{Res: new(types.HttpNfcLeaseProgressResponse)}
}

func (l *lease) HttpNfcLeaseSetManifestChecksumType(req *types.HttpNfcLeaseSetManifestChecksumType) soap.HasFault {
	l.all.Lock()
	defer l.all.Unlock()
	for _, each := range req.DeviceUrlsToChecksumTypes {
		l.sha256 = l.sha256 || each.Value == "sha256"
	}
	return &methods.HttpNfcLeaseSetManifestChecksumTypeBody{Res: new(types.HttpNfcLeaseSetManifestChecksumTypeResponse)}
}

func (l *lease) HttpNfcLeaseGetManifest(req *types.HttpNfcLeaseGetManifest) soap.HasFault {
	if !l.open() {
		return &methods.HttpNfcLeaseGetManifestBody{Fault_: invalid(l.State)}
	}
	l.all.Lock()
	defer l.all.Unlock()
	if l.all.faults.Get("manifest") == "none" {
		return &methods.HttpNfcLeaseGetManifestBody{Fault_: simulator.Fault("Not supported.", &types.NotSupported{})}
	}
	res := new(types.HttpNfcLeaseGetManifestResponse)
	for _, entry := range l.sent {
		if l.all.faults.Get("digest") == "wrong" && l.all.again("digest", entry.Key) {
			entry.Checksum = strings.Repeat("0", 64)
		}
		res.Returnval = append(res.Returnval, entry)
	}
	return &methods.HttpNfcLeaseGetManifestBody{Res: res}
}

// again says whether a fault happens once more. The lock is held.
func (e *exports) again(fault, key string) bool {
	times, ok := e.fault("times")
	if !ok {
		return true
	}
	e.times[fault+key]++
	return e.times[fault+key] <= times
}

// send serves /export/NUMBER/FILE.
func (e *exports) send(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/export/"), "/")
	var l *lease
	for _, each := range e.all() {
		if strings.HasSuffix(each.Self.Value, "lease-"+parts[0]) {
			l = each
		}
	}
	if l == nil || len(parts) != 2 || l.files[parts[1]] == "" || !l.open() {
		http.NotFound(w, r)
		return
	}
	name := parts[1]
	e.Lock()
	l.now++
	if l.now > l.most {
		l.most = l.now
	}
	hit := map[string]int{}
	for _, fault := range []string{"cut", "short", "flip", "status", "stall"} {
		number, ok := e.fault(fault)
		if ok && (e.faults.Get("disk") == "" || e.faults.Get("disk") == name) && e.again(fault, name) {
			hit[fault] = number
		}
	}
	rate, limited := e.fault("rate")
	e.Unlock()
	defer func() {
		e.Lock()
		l.now--
		e.Unlock()
	}()
	if status, ok := hit["status"]; ok {
		w.WriteHeader(status)
		return
	}
	file, err := os.Open(l.files[name])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	one, other := sha1.New(), sha256.New()
	sent, block := 0, make([]byte, 64*1024)
	if limited && rate < 10*len(block) {
		block = make([]byte, rate/10+1)
	}
	for {
		select {
		case <-l.ended:
			panic(http.ErrAbortHandler)
		default:
		}
		n, err := file.Read(block)
		piece := block[:n]
		one.Write(piece)
		other.Write(piece)
		if at, ok := hit["flip"]; ok && at >= sent && at < sent+n {
			piece = append([]byte{}, piece...)
			piece[at-sent] ^= 0xff
		}
		for _, fault := range []string{"cut", "short", "stall"} {
			if at, ok := hit[fault]; ok && at < sent+n {
				w.Write(piece[:at-sent])
				w.(http.Flusher).Flush()
				switch fault {
				case "cut":
					panic(http.ErrAbortHandler)
				case "stall":
					select {
					case <-l.ended:
					case <-r.Context().Done():
					}
					panic(http.ErrAbortHandler)
				}
				return
			}
		}
		if _, failed := w.Write(piece); failed != nil {
			return
		}
		w.(http.Flusher).Flush()
		sent += n
		if limited {
			time.Sleep(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		}
		if err == io.EOF {
			break
		}
	}
	e.Lock()
	defer e.Unlock()
	entry := types.HttpNfcLeaseManifestEntry{
		Key: l.keys[name], Sha1: hex.EncodeToString(one.Sum(nil)), Size: int64(sent), Disk: true,
	}
	if l.sha256 {
		entry.Checksum, entry.ChecksumType = hex.EncodeToString(other.Sum(nil)), "sha256"
	}
	l.sent[name] = entry
}

func (e *exports) list(w io.Writer) {
	e.Lock()
	defer e.Unlock()
	for _, l := range e.leases {
		fmt.Fprintf(w, "%s %s %d %d %d\n", l.Self.Value, l.State, l.signs, l.TransferProgress, l.most)
	}
}

func (e *exports) set(query url.Values) {
	e.Lock()
	defer e.Unlock()
	e.faults, e.times = query, map[string]int{}
}

const taken = `<Export%[1]sResponse xmlns="urn:vim25"><returnval type="HttpNfcLease">%[2]s</returnval></Export%[1]sResponse>`

const gone = `<soapenv:Fault><faultcode>ServerFaultCode</faultcode>
<faultstring>The object has already been deleted or has not been completely created.</faultstring><detail>
<ManagedObjectNotFoundFault xmlns="urn:vim25" xsi:type="ManagedObjectNotFound"><obj type="HttpNfcLease">%s</obj>
</ManagedObjectNotFoundFault></detail></soapenv:Fault>`

const invalidPowerState = `<soapenv:Fault><faultcode>ServerFaultCode</faultcode>
<faultstring>The attempted operation cannot be performed in the current state (Powered on).</faultstring><detail>
<InvalidPowerStateFault xmlns="urn:vim25" xsi:type="InvalidPowerState"><requestedState>poweredOff</requestedState>
<existingState>poweredOn</existingState></InvalidPowerStateFault></detail></soapenv:Fault>`

const taskInProgress = `<soapenv:Fault><faultcode>ServerFaultCode</faultcode>
<faultstring>The operation is not allowed in the current state: another task is in progress.</faultstring><detail>
<TaskInProgressFault xmlns="urn:vim25" xsi:type="TaskInProgress"><task type="Task">task-1</task></TaskInProgressFault>
</detail></soapenv:Fault>`
