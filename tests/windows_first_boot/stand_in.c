/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stand-in for a program of Windows, by the name under which it is started. It writes its arguments to
 * C:\recorded\calls.txt and answers as C:\recorded\NAME.answers says: a line "PART<tab>CODE<tab>FILE" means that
 * a call with PART in its arguments prints FILE and exits with CODE. Without a line for it, it is silent and exits with 0.
 *
 * As watch.exe SERVICE it waits until a service of that name has run and stopped, or is gone.
 */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int watch(const char *name)
{
    SC_HANDLE manager;
    SERVICE_STATUS status;

    /* Windows is starting */
    while (!(manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_CONNECT)))
        Sleep(50);
    for (;; Sleep(50)) {
        SC_HANDLE service = OpenServiceA(manager, name, SERVICE_QUERY_STATUS);
        if (!service) {
            printf("gone\n");
            break;
        }
        if (QueryServiceStatus(service, &status) && status.dwCurrentState == SERVICE_STOPPED
            && status.dwWin32ExitCode != ERROR_SERVICE_NEVER_STARTED) {
            printf("%lu %lu\n", status.dwWin32ExitCode, status.dwServiceSpecificExitCode);
            break;
        }
        CloseServiceHandle(service);
    }
    return 0;
}

/* The command line without the program. */
static const char *arguments(void)
{
    const char *at = GetCommandLineA();
    int quoted = 0;

    for (; *at && (quoted || (*at != ' ' && *at != '\t')); at++)
        if (*at == '"')
            quoted = !quoted;
    return at + strspn(at, " \t");
}

static void print(const char *path)
{
    FILE *file = fopen(path, "rb");
    int byte;

    while (file && (byte = getc(file)) != EOF)
        putchar(byte);
}

int main(int count, char **words)
{
    char path[MAX_PATH], line[2048];
    const char *name;
    FILE *file;

    GetModuleFileNameA(NULL, path, sizeof path);
    *strrchr(path, '.') = 0;
    name = strrchr(path, '\\') + 1;
    if (count == 2 && !strcmp(name, "watch"))
        return watch(words[1]);

    file = fopen("C:\\recorded\\calls.txt", "ab");
    if (!file)
        return 99;
    fprintf(file, "%s\t%s\n", name, arguments());
    fclose(file);

    snprintf(line, sizeof line, "C:\\recorded\\%s.answers", name);
    file = fopen(line, "r");
    while (file && fgets(line, sizeof line, file)) {
        char *code = strchr(line, '\t');
        char *output = code ? strchr(code + 1, '\t') : NULL;
        if (!output)
            return 98;
        *code++ = *output++ = 0;
        output[strcspn(output, "\r\n")] = 0;
        if (strstr(arguments(), line)) {
            print(output);
            return atoi(code);
        }
    }
    return 0;
}
