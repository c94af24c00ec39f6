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

$installed = Join-Path $Program 'taskrun.exe'
if (Test-Path $installed) {
    & $installed -c (Join-Path $Shop 'tasks.yaml') service uninstall
    if ($LASTEXITCODE -ne 0) { throw "The service could not be removed (exit code $LASTEXITCODE)" }
    Remove-Item $Program -Recurse -Force
}
$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
[Environment]::SetEnvironmentVariable('Path', (($path -split ';' | Where-Object { $_ -ne $Program }) -join ';'), 'Machine')
[Environment]::SetEnvironmentVariable('TASKRUN_CONFIG', $null, 'Machine')
if ($Everything -and (Test-Path $Shop)) { Remove-Item $Shop -Recurse -Force }
Write-Host 'taskrun is gone.'
