# Takes taskrun away again. tasks.yaml and the records stay, unless -Everything is said.
#
#   powershell -ExecutionPolicy Bypass -File uninstall.ps1
#Requires -RunAsAdministrator
param(
    [string]$Program = (Join-Path $env:ProgramFiles 'taskrun'),
    [string]$Shop = (Join-Path $env:ProgramData 'taskrun'),
    [switch]$Everything
)
$ErrorActionPreference = 'Stop'
. (Join-Path $PSScriptRoot 'machine-path.ps1')

$installed = Join-Path $Program 'taskrun.exe'
if (Test-Path $installed) {
    & $installed -c (Join-Path $Shop 'tasks.yaml') service uninstall
    if ($LASTEXITCODE -ne 0) { throw "The service could not be removed (exit code $LASTEXITCODE)" }
    Remove-Item $Program -Recurse -Force -ErrorAction SilentlyContinue
    # A program that runs, in a terminal perhaps, can't be removed, but it can get another name.
    if (Test-Path $installed) { Move-Item $installed "$installed.$(Get-Date -Format yyyyMMddHHmmss).old" }
}
Edit-MachinePath { param([string[]]$folders) $folders | Where-Object { $_ -ne $Program } }
[Environment]::SetEnvironmentVariable('TASKRUN_CONFIG', $null, 'Machine')
if ($Everything -and (Test-Path $Shop)) { Remove-Item $Shop -Recurse -Force }
if (Test-Path $Program) { Write-Host "taskrun still runs somewhere. When it has ended, remove $Program." }
Write-Host 'taskrun is gone.'
