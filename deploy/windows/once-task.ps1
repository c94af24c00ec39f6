# Has Windows' Task Scheduler run `taskrun once NAME` every day, where no taskrun runs as a service. The service needs none of this.
#
#   powershell -ExecutionPolicy Bypass -File once-task.ps1 -Name backup -At 02:30
#   powershell -ExecutionPolicy Bypass -File once-task.ps1 -Name sync_inventory -At 00:00 -Every 180       every 180 minutes
#   schtasks /Delete /TN "taskrun backup"                                                                  takes it away
#
# once-task.xml sets what the Task Scheduler would otherwise do to such a task: not on batteries, stopped when the mains fail, missed starts forgotten,
# a second start ignored, ended after three days.
#Requires -RunAsAdministrator
param(
    [Parameter(Mandatory)][ValidatePattern('^[A-Za-z0-9_@.-]+$')][string]$Name,
    [Parameter(Mandatory)][ValidatePattern('^([01][0-9]|2[0-3]):[0-5][0-9]$')][string]$At,
    [ValidateRange(0, 1439)][int]$Every = 0,
    [string]$Exe = (Join-Path $env:ProgramFiles 'taskrun\taskrun.exe'),
    [string]$Config = (Join-Path $env:ProgramData 'taskrun\tasks.yaml')
)
$ErrorActionPreference = 'Stop'

foreach ($file in $Exe, $Config) { if (-not (Test-Path $file)) { throw "There is no $file." } }
$repetition = if ($Every) { "<Repetition><Interval>PT${Every}M</Interval><Duration>P1D</Duration></Repetition>" } else { '' }
$values = @{
    '@NAME@' = $Name
    '@AT@' = (Get-Date -Format 'yyyy-MM-dd') + "T${At}:00"
    '@REPETITION@' = $repetition
    '@USER@' = [Security.SecurityElement]::Escape("${env:USERDOMAIN}\${env:USERNAME}")
    '@EXE@' = [Security.SecurityElement]::Escape($Exe)
    '@CONFIG@' = [Security.SecurityElement]::Escape($Config)
    '@FOLDER@' = [Security.SecurityElement]::Escape((Split-Path $Config))
}
$xml = Get-Content (Join-Path $PSScriptRoot 'once-task.xml') -Raw
foreach ($key in $values.Keys) { $xml = $xml.Replace($key, $values[$key]) }
Register-ScheduledTask -TaskName "taskrun $Name" -Xml $xml -Force | Out-Null
Write-Host "Windows runs `"taskrun once $Name`" at $At; the Task Scheduler lists it as `"taskrun $Name`"."
