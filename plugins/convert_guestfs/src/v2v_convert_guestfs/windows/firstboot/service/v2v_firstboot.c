/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Windows service that runs one command and waits for it.
 *
 * The command is the value CommandLine of the key Parameters of the service, its directory the value PWD: as with
 * rhsrvany.exe and pvvxsvc.exe, which may stand in its place. It runs without a window, and its exit code is the
 * service-specific exit code of the service. When Windows stops the service, the command and all that it has started
 * are ended.
 *
 * There is no C library in it: nothing but kernel32 and advapi32, of Windows XP and later.
 */

#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0501
#include <windows.h>

/* A command line of CreateProcess is at most this long, with its NUL. */
#define LONGEST 32767

static SERVICE_STATUS_HANDLE handle;
static SERVICE_STATUS status;
static HANDLE job;
static HANDLE stopped;

/* Large buffers are static: the compiler would call a function of the C library for a large frame. */
static WCHAR parameters[512];
static WCHAR raw[LONGEST];
static WCHAR command[LONGEST];
static WCHAR directory[LONGEST];
static STARTUPINFOW startup;
static PROCESS_INFORMATION process;

static void report(DWORD state, DWORD error, DWORD specific)
{
    status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
    status.dwCurrentState = state;
    status.dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN : 0;
    status.dwWin32ExitCode = error;
    status.dwServiceSpecificExitCode = specific;
    status.dwWaitHint = state == SERVICE_STOP_PENDING ? 10000 : 0;
    SetServiceStatus(handle, &status);
}

static DWORD WINAPI control(DWORD what, DWORD type, LPVOID data, LPVOID context)
{
    (void)type;
    (void)data;
    (void)context;
    switch (what) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_SHUTDOWN:
        report(SERVICE_STOP_PENDING, NO_ERROR, 0);
        SetEvent(stopped);
        return NO_ERROR;
    case SERVICE_CONTROL_INTERROGATE:
        SetServiceStatus(handle, &status);
        return NO_ERROR;
    default:
        return ERROR_CALL_NOT_IMPLEMENTED;
    }
}

/* Append as much of a text as fits. */
static void append(WCHAR *buffer, DWORD size, const WCHAR *text)
{
    DWORD at = 0;

    while (at < size - 1 && buffer[at])
        at++;
    while (at < size - 1 && *text)
        buffer[at++] = *text++;
    buffer[at] = 0;
}

/* Read a text of the key Parameters, with its environment variables expanded if it is of that type. */
static DWORD read_text(HKEY key, const WCHAR *name, WCHAR *text)
{
    DWORD type = REG_NONE;
    DWORD bytes = sizeof raw - sizeof raw[0];
    LONG error = RegQueryValueExW(key, name, NULL, &type, (BYTE *)raw, &bytes);
    DWORD length;

    if (error != ERROR_SUCCESS)
        return error;
    if (type != REG_SZ && type != REG_EXPAND_SZ)
        return ERROR_INVALID_DATA;
    /* the value need not end with a NUL */
    raw[bytes / sizeof raw[0]] = 0;
    if (type == REG_SZ) {
        text[0] = 0;
        append(text, LONGEST, raw);
        return NO_ERROR;
    }
    length = ExpandEnvironmentStringsW(raw, text, LONGEST);
    return length == 0 || length > LONGEST ? ERROR_INVALID_DATA : NO_ERROR;
}

/* Read what to run. A directory that is not there is none: the command starts where services do. */
static DWORD read_parameters(const WCHAR *service)
{
    HKEY key;
    DWORD error;

    append(parameters, ARRAYSIZE(parameters), L"SYSTEM\\CurrentControlSet\\Services\\");
    append(parameters, ARRAYSIZE(parameters), service);
    append(parameters, ARRAYSIZE(parameters), L"\\Parameters");
    error = RegOpenKeyExW(HKEY_LOCAL_MACHINE, parameters, 0, KEY_QUERY_VALUE, &key);
    if (error != ERROR_SUCCESS)
        return error;
    error = read_text(key, L"CommandLine", command);
    if (error == NO_ERROR && read_text(key, L"PWD", directory) != NO_ERROR)
        directory[0] = 0;
    RegCloseKey(key);
    return error;
}

/* Start the command in the job, so that ending the job ends what the command has started as well. */
static DWORD start(void)
{
    startup.cb = sizeof startup;
    startup.dwFlags = STARTF_USESHOWWINDOW;
    startup.wShowWindow = SW_HIDE;
    if (!CreateProcessW(NULL, command, NULL, NULL, FALSE, CREATE_NO_WINDOW | CREATE_SUSPENDED, NULL,
                        directory[0] ? directory : NULL, &startup, &process))
        return GetLastError();
    if (job && !AssignProcessToJobObject(job, process.hProcess)) {
        /* it is in somebody else's job already, and Windows older than 8 allows but one */
        CloseHandle(job);
        job = NULL;
    }
    ResumeThread(process.hThread);
    CloseHandle(process.hThread);
    return NO_ERROR;
}

/* End the command, and wait until it has ended. */
static void end(void)
{
    if (job)
        TerminateJobObject(job, ERROR_PROCESS_ABORTED);
    else
        TerminateProcess(process.hProcess, ERROR_PROCESS_ABORTED);
    WaitForSingleObject(process.hProcess, 8000);
}

static void WINAPI service(DWORD count, WCHAR **words)
{
    HANDLE both[2];
    DWORD error;
    DWORD code = 0;

    (void)count;
    handle = RegisterServiceCtrlHandlerExW(words[0], control, NULL);
    if (!handle)
        return;
    stopped = CreateEventW(NULL, TRUE, FALSE, NULL);
    job = CreateJobObjectW(NULL, NULL);
    if (!stopped) {
        report(SERVICE_STOPPED, GetLastError(), 0);
        return;
    }
    report(SERVICE_RUNNING, NO_ERROR, 0);

    error = read_parameters(words[0]);
    if (error == NO_ERROR)
        error = start();
    if (error != NO_ERROR) {
        report(SERVICE_STOPPED, error, 0);
        return;
    }

    both[0] = process.hProcess;
    both[1] = stopped;
    if (WaitForMultipleObjects(2, both, FALSE, INFINITE) != WAIT_OBJECT_0)
        end();
    GetExitCodeProcess(process.hProcess, &code);
    report(SERVICE_STOPPED, code ? ERROR_SERVICE_SPECIFIC_ERROR : NO_ERROR, code);
}

/* Where the program starts. The name in the table is ignored: there is one service in this process. */
void v2v_start(void)
{
    static WCHAR any[] = L"";
    static const SERVICE_TABLE_ENTRYW services[] = {{any, service}, {NULL, NULL}};

    ExitProcess(StartServiceCtrlDispatcherW(services) ? 0 : GetLastError());
}
