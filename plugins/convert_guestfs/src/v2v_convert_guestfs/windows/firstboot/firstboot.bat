@echo off
rem SPDX-License-Identifier: GPL-2.0-or-later
rem What v2v left for the first start of this computer on its new host. The service v2v-firstboot runs it.
rem
rem status.txt says how far it has come:
rem     #1;running or finished;starts of Windows;restarts asked for
rem     NAME;waiting, running, again, done, failed or given-up;exit code or -;attempts;when it ended, or -
rem     #end
rem It is replaced after every event, so that it is whole whenever the power goes.
setlocal enableextensions enabledelayedexpansion
cd /d "%~dp0"

rem A 32-bit service on a 64-bit Windows would see the 32-bit programs only.
if not defined PROCESSOR_ARCHITEW6432 goto native
if defined V2V_NATIVE goto native
if not exist "%SystemRoot%\Sysnative\cmd.exe" goto native
set V2V_NATIVE=1
"%SystemRoot%\Sysnative\cmd.exe" /d /c firstboot.bat
exit %errorlevel%

:native
set "service=v2v-firstboot"
set "V2V=%~dp0files"
set most_attempts=5
if not exist logs md logs
call :load status.txt
if not defined whole call :load status.old
if not defined whole call :load status.new
if not defined whole call :load status.first
if not defined whole goto lost
set /a most_restarts=count+10
set /a boots+=1
set number=0
call :save
call :log "start %boots% of Windows"

:next
set /a number+=1
if %number% gtr %count% goto finish
set "name=!name_%number%!"
set "state=!state_%number%!"
set "attempts=!attempts_%number%!"
if "%state%"=="done" goto next
if "%state%"=="failed" goto next
if "%state%"=="given-up" goto next
if not "%state%"=="running" goto attempt
call :log "%name% was interrupted; it had printed:"
if exist logs\%name%.log type logs\%name%.log >>log.txt

:attempt
if %attempts% geq %most_attempts% goto give_up
set /a attempts+=1
set "attempts_%number%=%attempts%"
set "state_%number%=running"
call :save
call :log "%name%: attempt %attempts%"
if not exist scripts\%name%.bat goto missing
"%ComSpec%" /d /c scripts\%name%.bat <nul >logs\%name%.log 2>&1
set "code=%errorlevel%"
type logs\%name%.log >>log.txt
goto ended
:missing
set code=2
call :log "%name%: the script is missing"
:ended
call :log "%name%: exit code %code%"
set "code_%number%=%code%"
set "ended_%number%=%DATE% %TIME%"
if "%code%"=="249" goto again
set "state_%number%=failed"
if "%code%"=="0" set "state_%number%=done"
if "%code%"=="250" set "state_%number%=done"
call :save
if "%code%"=="250" goto next
goto restart

:again
if %attempts% geq %most_attempts% goto give_up
if %restarts% geq %most_restarts% goto give_up
set "state_%number%=again"
call :save
goto restart

:give_up
call :log "%name% is given up after %attempts% attempts"
set "state_%number%=given-up"
call :save
goto next

rem After the last script nothing is left for another start of Windows.
:restart
if %restarts% lss %most_restarts% goto restart_now
call :log "no more than %most_restarts% restarts: going on without one"
goto next
:restart_now
set /a restarts+=1
call :save
if not "!state_%number%!"=="again" if %number% geq %count% call :remove
set tries=0
:shutdown
call :log "restarting Windows"
shutdown -r -t 0 -f >>log.txt 2>&1
set "code=%errorlevel%"
if "%code%"=="0" exit 0
rem 1115: Windows is shutting down already
if "%code%"=="1115" exit 0
call :log "shutdown: exit code %code%"
set /a tries+=1
if %tries% geq 20 exit 0
ping -n 31 127.0.0.1 >nul
goto shutdown

:lost
call :log "no status file is whole: nothing is done"
set boots=0
set restarts=0
set count=0
:finish
call :remove
exit 0

rem Nothing is left to do: say so, and let the service never start again.
:remove
set finished=1
call :save
call :log "finished"
sc delete %service% >>log.txt 2>&1
if errorlevel 1 reg add "HKLM\SYSTEM\CurrentControlSet\Services\%service%" /v Start /t REG_DWORD /d 4 /f >>log.txt 2>&1
goto :eof

:log
>>log.txt echo %DATE% %TIME% %~1
goto :eof

rem Read a status file; "whole" says whether it has its last line.
:load
set whole=
set count=0
if not exist %1 goto :eof
for /f "tokens=1-4* delims=;" %%a in (%1) do call :line "%%a" "%%b" "%%c" "%%d" "%%e"
goto :eof
:line
if defined whole goto :eof
if "%~1"=="#end" set whole=1
if "%~1"=="#end" goto :eof
if "%~1"=="#1" set "boots=%~3"
if "%~1"=="#1" set "restarts=%~4"
if "%~1"=="#1" goto :eof
set /a count+=1
set "name_%count%=%~1"
set "state_%count%=%~2"
set "code_%count%=%~3"
set "attempts_%count%=%~4"
set "ended_%count%=%~5"
goto :eof

:save
set all=running
if defined finished set all=finished
>status.new echo #1;%all%;%boots%;%restarts%
for /l %%i in (1,1,%count%) do call :save_script %%i
>>status.new echo #end
if exist status.txt move /y status.txt status.old >nul
move /y status.new status.txt >nul
goto :eof
:save_script
>>status.new echo !name_%1!;!state_%1!;!code_%1!;!attempts_%1!;!ended_%1!
goto :eof
