# For install.ps1 and uninstall.ps1: changes the PATH of this computer.

# $Change gets the folders of the PATH and gives those that it is to have. They are read and written as they stand there, with %SystemRoot% and the like
# in them; by [Environment]::GetEnvironmentVariable they would come, and be written, with those replaced. Whoever sets a variable of the machine
# afterwards tells the programs that run.
function Edit-MachinePath([scriptblock]$Change) {
    $key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Control\Session Manager\Environment', $true)
    try {
        $before = [string]$key.GetValue('Path', '', [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
        $after = (& $Change ($before -split ';')) -join ';'
        if ($after -cne $before) { $key.SetValue('Path', $after, [Microsoft.Win32.RegistryValueKind]::ExpandString) }
    } finally {
        $key.Close()
    }
}
