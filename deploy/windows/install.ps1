# Installs taskrun as a service of this computer: the program to Program Files, tasks.yaml and the records to ProgramData. Once more: an update.
#
#   powershell -ExecutionPolicy Bypass -File install.ps1
#
# Run it as administrator. In the archive it lies in the folder `service`, below taskrun.exe. Nothing that is there already is overwritten but the program itself.
#Requires -RunAsAdministrator
param(
    [string]$Exe = (Join-Path (Split-Path $PSScriptRoot) 'taskrun.exe'),
    [string]$Program = (Join-Path $env:ProgramFiles 'taskrun'),
    [string]$Shop = (Join-Path $env:ProgramData 'taskrun')
)
$ErrorActionPreference = 'Stop'

function Invoke-Checked([string]$What, [scriptblock]$Call) {
    & $Call
    if ($LASTEXITCODE -ne 0) { throw "$What failed (exit code $LASTEXITCODE)" }
}

$installed = Join-Path $Program 'taskrun.exe'
$config = Join-Path $Shop 'tasks.yaml'

if (-not (Test-Path $Exe)) { throw "There is no $Exe. Name it with -Exe." }
# A program that runs can't be replaced.
if (Get-Service taskrun -ErrorAction SilentlyContinue) { Stop-Service taskrun }

New-Item -ItemType Directory -Force $Program, $Shop | Out-Null
Copy-Item $Exe $installed -Force
Unblock-File $installed

# tasks.yaml says which programs run: only administrators, the system and whoever installs this may touch it. The service gets its rights below.
Invoke-Checked 'icacls' { icacls $Shop /inheritance:r /grant '*S-1-5-32-544:(OI)(CI)F' '*S-1-5-18:(OI)(CI)F' "${env:USERDOMAIN}\${env:USERNAME}:(OI)(CI)M" /q }
if (-not (Test-Path $config)) { Copy-Item (Join-Path $PSScriptRoot 'tasks.yaml') $config }

# `taskrun` in any new terminal, with this tasks.yaml.
$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
if (($path -split ';') -notcontains $Program) {
    [Environment]::SetEnvironmentVariable('Path', ($path.TrimEnd(';') + ';' + $Program), 'Machine')
}
[Environment]::SetEnvironmentVariable('TASKRUN_CONFIG', $config, 'Machine')

Invoke-Checked 'taskrun check' { & $installed -c $config check }
Invoke-Checked 'taskrun service install' { & $installed -c $config service install }
Write-Host 'Done. The dashboard: http://127.0.0.1:9700/'
